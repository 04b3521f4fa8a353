-- An edit need not search the whole index for every word that a record had before: what is taken out is marked, and goes for good when
-- the index is written anew, which a purge does before it is confirmed.
INSERT INTO search (search, rank) VALUES ('secure-delete', 0);
