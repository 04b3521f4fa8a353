-- Contents that an erased document named and nobody else did. The trace is keyed: it knows a name again and tells none.
CREATE TABLE erased_contents (
    document TEXT NOT NULL,
    trace BLOB NOT NULL,
    -- The name, until nothing of it is left in the store.
    hash TEXT,
    PRIMARY KEY (document, trace)
);
-- Which phones were given which documents, by deliveries that the audit log no longer holds.
CREATE TABLE held_documents (
    document TEXT NOT NULL,
    device TEXT NOT NULL,
    given_ms BIGINT NOT NULL,
    PRIMARY KEY (document, device)
);
-- wrote, given, or met: it may have been given the document by a phone that it met. NULL: not known, or told when it asked.
ALTER TABLE erased_holders ADD COLUMN why TEXT;
-- Contents that were here and are lost, until somebody has brought them again.
CREATE TABLE lost_contents (
    hash TEXT PRIMARY KEY NOT NULL,
    found_ms BIGINT NOT NULL,
    -- Whether phones have been asked for it.
    asked BOOLEAN NOT NULL
);
