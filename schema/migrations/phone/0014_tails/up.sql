-- A record is kept as a snapshot and the changes made since: an edit of a long file writes what it says, not the file.
CREATE TABLE snapshots (
    document TEXT PRIMARY KEY NOT NULL,
    bytes BLOB NOT NULL
);
INSERT INTO snapshots (document, bytes) SELECT id, saved FROM documents;
-- Changes behind the snapshot; `at` is how many bytes of changes lie before.
CREATE TABLE tails (
    document TEXT NOT NULL,
    at INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (document, at)
) WITHOUT ROWID;
DROP TRIGGER documents_changed;
ALTER TABLE documents DROP COLUMN saved;
-- The newest changes, sorted, 32 bytes each; NULL until the record is written again.
ALTER TABLE documents ADD COLUMN heads BLOB;
CREATE TRIGGER documents_changed AFTER UPDATE OF heads ON documents BEGIN
    INSERT INTO unproven (document)
        SELECT new.id WHERE NOT EXISTS (SELECT 1 FROM unproven WHERE document = new.id);
END;
-- Bytes of the snapshot, and of the changes behind it.
ALTER TABLE documents ADD COLUMN snapshot_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN tail_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE documents SET snapshot_bytes = (SELECT length(bytes) FROM snapshots WHERE document = id);
CREATE TRIGGER contents_gone AFTER DELETE ON documents BEGIN
    DELETE FROM snapshots WHERE document = OLD.id;
    DELETE FROM tails WHERE document = OLD.id;
END;
-- Whether words were written that are not in the index yet: they are put there when somebody searches.
ALTER TABLE list ADD COLUMN stale INTEGER NOT NULL DEFAULT 0;
CREATE INDEX list_stale ON list (stale) WHERE stale = 1;
