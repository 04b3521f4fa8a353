-- The server's signed word that changes stood in its journal: shown to a server that was restored from a backup and has lost them.
CREATE TABLE pledges (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    journal TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    signature BLOB NOT NULL,
    -- The changes that it is about, 32 bytes each, sorted: what is signed.
    list BLOB NOT NULL
);

-- Which changes of a document are covered by which pledge, and with each of them all that it builds on.
CREATE TABLE pledged (
    document TEXT NOT NULL,
    hash BLOB NOT NULL,
    pledge INTEGER NOT NULL,
    PRIMARY KEY (document, hash)
) WITHOUT ROWID;
CREATE INDEX pledged_pledge ON pledged (pledge);
CREATE TRIGGER pledged_gone AFTER DELETE ON documents BEGIN
    DELETE FROM pledged WHERE document = old.id;
END;

-- Documents of which a restored server lacks what can be proven to have stood in its journal: these heads it has.
CREATE TABLE resupply (
    document TEXT PRIMARY KEY NOT NULL,
    heads BLOB NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER resupply_gone AFTER DELETE ON documents BEGIN
    DELETE FROM resupply WHERE document = old.id;
END;

-- What this phone wrote again under another actor, because it had been restored from a backup and its own actor was there already.
CREATE TABLE remade (
    hash BLOB PRIMARY KEY NOT NULL,
    former BLOB NOT NULL
) WITHOUT ROWID;

-- What is here already gets its pledges by being compared once.
INSERT OR IGNORE INTO doubts (document) SELECT id FROM documents;
