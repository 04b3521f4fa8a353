-- The same bytes may come from several: what one sent as his own is no word about what its author sends.
DROP INDEX quarantine_hash;
CREATE UNIQUE INDEX quarantine_hash ON quarantine (document, hash, author, device);
-- What waits aside if this was undone before comes back.
CREATE TABLE IF NOT EXISTS quarantine_aside AS SELECT * FROM quarantine WHERE 1 = 0;
INSERT INTO quarantine SELECT * FROM quarantine_aside;
DROP TABLE quarantine_aside;
