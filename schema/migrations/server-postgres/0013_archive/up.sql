-- Files into which old entries of the journal were moved. The entries stay at their positions, without their bytes.
CREATE TABLE archives (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    made_ms BIGINT NOT NULL,
    -- Entries that arrived before this.
    before_ms BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    sha256 TEXT NOT NULL
);
-- Which documents lie in which file: what was erased since has to be struck from it.
CREATE TABLE archive_documents (
    archive TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (archive, document)
);
CREATE INDEX archive_documents_document ON archive_documents (document);
