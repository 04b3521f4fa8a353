-- For which records somebody has handed in all bytes of a content. Only through these it is read: its name proves nothing.
CREATE TABLE attachment_proofs (
    document TEXT NOT NULL,
    hash TEXT NOT NULL,
    proved_ms BIGINT NOT NULL,
    PRIMARY KEY (document, hash)
);
CREATE INDEX attachment_proofs_hash ON attachment_proofs (hash);
-- What was entered before this was asked for cannot be told apart any more.
INSERT INTO attachment_proofs (document, hash, proved_ms)
    SELECT r.document, r.hash, o.stored_ms FROM attachment_refs r JOIN objects o ON o.hash = r.hash;
-- A backup that holds this holds the proofs too.
INSERT INTO settings (name, value) VALUES ('attachment_proofs', '1');
