-- A document is its snapshot and the entries of the journal behind it: a change of a long file writes what it says, not the file.
CREATE TABLE snapshots (
    document TEXT PRIMARY KEY NOT NULL,
    bytes BYTEA NOT NULL
);
INSERT INTO snapshots (document, bytes) SELECT id, saved FROM documents;
ALTER TABLE documents DROP COLUMN saved;
-- The newest changes, sorted, 32 bytes each; empty until the document is written again.
ALTER TABLE documents ADD COLUMN heads BYTEA NOT NULL DEFAULT ''::bytea;
-- The last position that the snapshot holds; 0 where there is none.
ALTER TABLE documents ADD COLUMN snapshot_position BIGINT NOT NULL DEFAULT 0;
-- Bytes of the snapshot, and of the changes behind it.
ALTER TABLE documents ADD COLUMN snapshot_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN tail_bytes BIGINT NOT NULL DEFAULT 0;
UPDATE documents SET snapshot_position = position,
    snapshot_bytes = (SELECT length(bytes) FROM snapshots WHERE document = documents.id);
-- Nobody reads the folded state there: a file is folded from its document.
ALTER TABLE cases DROP COLUMN state;
ALTER TABLE patrols DROP COLUMN state;
