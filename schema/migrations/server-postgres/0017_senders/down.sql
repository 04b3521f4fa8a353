DROP INDEX quarantine_hash;
CREATE UNIQUE INDEX quarantine_hash ON quarantine (document, hash);
