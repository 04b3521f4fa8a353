-- Who read personal data and who did what to the system. A row is written with the act; once a second rows are numbered and chained.
-- No row holds personal data beyond ids.
CREATE TABLE audit (
    -- UUIDv7: in the order of writing.
    id TEXT PRIMARY KEY NOT NULL,
    -- Gapless from 1; none until the row is sealed.
    seq BIGINT UNIQUE,
    at_ms BIGINT NOT NULL,
    -- Who: an account; the nil user is the server itself or its operator at a command line.
    actor TEXT NOT NULL,
    device TEXT,
    -- From where: an address, or `cli:` and the operator's login.
    origin TEXT NOT NULL,
    action TEXT NOT NULL,
    -- To what: an id.
    object TEXT NOT NULL,
    community TEXT,
    reason TEXT NOT NULL,
    -- JSON: counts and ids.
    detail TEXT NOT NULL,
    -- SHA-256 over the hash of the row before and this row; none until sealed.
    hash BLOB
);
CREATE INDEX audit_unsealed ON audit (id) WHERE seq IS NULL;
CREATE INDEX audit_object ON audit (object, id);
CREATE INDEX audit_actor ON audit (actor, id);

-- The two ends of the chain: `head` is the last sealed row; `base` the last one that was deleted when its time was over.
CREATE TABLE audit_chain (
    name TEXT PRIMARY KEY NOT NULL,
    seq BIGINT NOT NULL,
    hash BLOB NOT NULL
);
INSERT INTO audit_chain (name, seq, hash) VALUES ('head', 0, zeroblob(32)), ('base', 0, zeroblob(32));

-- What the law wants forgotten: asked by one person, decided by another.
CREATE TABLE erasures (
    id TEXT PRIMARY KEY NOT NULL,
    -- person, case or attachment.
    kind TEXT NOT NULL,
    document TEXT NOT NULL,
    -- The party or the attachment's hash; empty for a whole case.
    part TEXT NOT NULL,
    community TEXT NOT NULL,
    reason TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    asked_ms BIGINT NOT NULL,
    decided_by TEXT,
    decided_ms BIGINT,
    -- asked, done or declined.
    state TEXT NOT NULL
);
CREATE INDEX erasures_document ON erasures (document);

-- Documents that are no more. Never deleted: by this row a late change is known for what it is.
CREATE TABLE erased_documents (
    document TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    community TEXT NOT NULL,
    -- In the journal: a phone whose cursor has passed this has met the order to forget.
    position BIGINT NOT NULL,
    erasure TEXT NOT NULL,
    -- The document made of the rest, if anything was left.
    successor TEXT,
    erased_ms BIGINT NOT NULL
);
CREATE INDEX erased_documents_community ON erased_documents (community, position);

-- Which phones held such a document, and when each was known to have forgotten it.
CREATE TABLE erased_holders (
    document TEXT NOT NULL,
    device TEXT NOT NULL,
    told_ms BIGINT,
    confirmed_ms BIGINT,
    PRIMARY KEY (document, device)
);
CREATE INDEX erased_holders_device ON erased_holders (device, confirmed_ms);

-- Keyed hashes of the identity and phone numbers in a case, each 32 hexadecimal digits, between spaces.
ALTER TABLE cases ADD COLUMN numbers TEXT NOT NULL DEFAULT '';
