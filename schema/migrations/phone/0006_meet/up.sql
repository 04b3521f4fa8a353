-- Phones that this one has met, with the certificate that they last showed.
CREATE TABLE peers (
    device TEXT PRIMARY KEY NOT NULL,
    certificate BLOB NOT NULL,
    met_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Bundles that came from phone to phone, signed by their authors: handed in at the next sync.
CREATE TABLE peer_bundles (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- SHA-256 of the payload.
    digest BLOB NOT NULL UNIQUE,
    certificate BLOB NOT NULL,
    bundle BLOB NOT NULL,
    size INTEGER NOT NULL
);

-- The changes in them of which no server has spoken.
CREATE TABLE peer_changes (
    hash BLOB PRIMARY KEY NOT NULL,
    document TEXT NOT NULL,
    bundle INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX peer_changes_document ON peer_changes (document);
CREATE INDEX peer_changes_bundle ON peer_changes (bundle);

-- The server's word that the heads of a document stand in its journal, and with them all that they build on.
CREATE TABLE proof_receipts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    bytes BLOB NOT NULL
);
CREATE TABLE proofs (
    document TEXT PRIMARY KEY NOT NULL,
    heads BLOB NOT NULL,
    receipt INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX proofs_receipt ON proofs (receipt);

-- Documents that have changed since their heads were last proven.
CREATE TABLE unproven (
    document TEXT PRIMARY KEY NOT NULL
) WITHOUT ROWID;
INSERT INTO unproven (document) SELECT id FROM documents;
-- Not `OR IGNORE`: the statement that sets a trigger off overrides it.
CREATE TRIGGER documents_made AFTER INSERT ON documents BEGIN
    INSERT INTO unproven (document)
        SELECT new.id WHERE NOT EXISTS (SELECT 1 FROM unproven WHERE document = new.id);
END;
CREATE TRIGGER documents_changed AFTER UPDATE OF saved ON documents BEGIN
    INSERT INTO unproven (document)
        SELECT new.id WHERE NOT EXISTS (SELECT 1 FROM unproven WHERE document = new.id);
END;
CREATE TRIGGER documents_gone AFTER DELETE ON documents BEGIN
    DELETE FROM unproven WHERE document = old.id;
    DELETE FROM proofs WHERE document = old.id;
END;
