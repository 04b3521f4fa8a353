-- Without this migration one row stands for the same bytes: the first that came. The others wait aside until it is there again.
CREATE TABLE quarantine_aside AS SELECT * FROM quarantine AS q WHERE EXISTS
    (SELECT 1 FROM quarantine AS f WHERE f.document = q.document AND f.hash = q.hash
     AND (f.received_ms < q.received_ms OR (f.received_ms = q.received_ms AND f.id < q.id)));
DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine_aside);
DROP INDEX quarantine_hash;
CREATE UNIQUE INDEX quarantine_hash ON quarantine (document, hash);
