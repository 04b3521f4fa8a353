-- Contents that are whole in the object store. A content may be stored again after it was deleted, so that each has a key of its own
-- and a deletion can never meet what was stored after it was decided.
CREATE TABLE objects (
    hash TEXT PRIMARY KEY NOT NULL,
    object TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    media_type TEXT NOT NULL,
    stored_ms BIGINT NOT NULL,
    -- Since when no document refers to it; it is deleted a grace period later, if that is still so.
    candidate_ms BIGINT
);
CREATE INDEX objects_candidate ON objects (candidate_ms);

-- Which documents refer to which contents: a projection of the documents.
CREATE TABLE attachment_refs (
    document TEXT NOT NULL,
    hash TEXT NOT NULL,
    by_user TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (document, hash)
);
CREATE INDEX attachment_refs_hash ON attachment_refs (hash);

-- Uploads under way, and for a while those that ended. What has arrived lies in the object store, so that any process goes on.
CREATE TABLE uploads (
    id TEXT PRIMARY KEY NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    user_id TEXT NOT NULL,
    device TEXT,
    length BIGINT NOT NULL,
    received BIGINT NOT NULL,
    -- open, done, gone
    state TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX uploads_user ON uploads (user_id, created_ms);
CREATE INDEX uploads_expires ON uploads (expires_ms);
CREATE INDEX uploads_hash ON uploads (hash, document);

CREATE TABLE upload_parts (
    upload TEXT NOT NULL,
    start_byte BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    object TEXT NOT NULL,
    PRIMARY KEY (upload, start_byte)
);
