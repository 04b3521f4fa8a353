-- Contents of attachments that lie, whole and encrypted, in the folder beside this store.
CREATE TABLE files (
    hash TEXT PRIMARY KEY NOT NULL,
    media_type TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    used_ms INTEGER NOT NULL
);

-- What was attached on this phone, and how far it has come to the server.
CREATE TABLE uploads (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    document TEXT NOT NULL,
    hash TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    -- Where the server takes it, and how much it has.
    location TEXT,
    sent INTEGER NOT NULL DEFAULT 0,
    -- When the server said that it has all of it, and in which life of its journal.
    server_ms INTEGER,
    journal TEXT,
    -- Why the server does not want it.
    refused_code TEXT,
    refused_detail TEXT,
    UNIQUE (document, hash)
);
CREATE INDEX uploads_hash ON uploads (hash);
