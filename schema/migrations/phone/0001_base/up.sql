-- What the phone knows of itself: identity, keys, clocks, tokens of the session. Encrypted like everything here.
CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE documents (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    community TEXT NOT NULL,
    saved BLOB NOT NULL,
    -- Under which actor this phone writes into it; a new one after a refusal.
    actor BLOB NOT NULL,
    -- When the server last acknowledged everything of it; NULL while it is only here.
    synced_ms INTEGER
);

-- What this phone has made and no server has acknowledged, in the order it was made.
CREATE TABLE outbox (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    document TEXT NOT NULL,
    author TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    actor BLOB NOT NULL,
    at TEXT NOT NULL,
    bytes BLOB NOT NULL
);
CREATE INDEX outbox_document ON outbox (document);

-- What the server refused: kept with the words, so that nothing typed is lost.
CREATE TABLE refused (
    hash BLOB PRIMARY KEY NOT NULL,
    document TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    words TEXT NOT NULL,
    bytes BLOB NOT NULL,
    refused_ms INTEGER NOT NULL
);

CREATE TABLE tokens (
    issued_ms INTEGER PRIMARY KEY NOT NULL,
    bytes BLOB NOT NULL
);

CREATE TABLE cursors (
    community TEXT PRIMARY KEY NOT NULL,
    position INTEGER NOT NULL,
    backfill TEXT,
    scope INTEGER NOT NULL
);

-- Documents whose heads are to be compared with the server's.
CREATE TABLE doubts (
    document TEXT PRIMARY KEY NOT NULL
);

-- What lists show; documents are never loaded for a list.
CREATE TABLE list (
    number INTEGER PRIMARY KEY,
    document TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    community TEXT NOT NULL,
    title TEXT NOT NULL,
    status TEXT NOT NULL,
    level TEXT,
    category TEXT,
    grid TEXT,
    building TEXT,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    due_ms INTEGER,
    conflicts INTEGER NOT NULL,
    passages INTEGER NOT NULL,
    needs_review INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX list_changed ON list (kind, changed_ms);
