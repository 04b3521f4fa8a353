-- The same bytes may come from several: what one sent as his own is no word about what its author sends.
DROP INDEX quarantine_hash;
CREATE UNIQUE INDEX quarantine_hash ON quarantine (document, hash, author, device);
