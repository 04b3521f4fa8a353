-- Under which actors this phone has ever written, for whom, and as which device: what it must be able to send again for ever.
CREATE TABLE actors (
    actor BLOB PRIMARY KEY NOT NULL,
    author TEXT NOT NULL,
    device TEXT NOT NULL
) WITHOUT ROWID;
INSERT OR IGNORE INTO actors (actor, author, device)
    SELECT a.actor, json_extract(w.who, '$.user'), json_extract(w.who, '$.device')
    FROM (SELECT actor FROM documents UNION SELECT value FROM meta WHERE name = 'actor') AS a,
         (SELECT CAST(value AS TEXT) AS who FROM meta WHERE name = 'enrolment') AS w;

-- Records that were forgotten while something of them was unsent: what a bundle must say of them.
CREATE TABLE forgotten (
    document TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    community TEXT NOT NULL
);

-- Records that could no longer be read, as they were found; in their place stands what the server had.
CREATE TABLE damaged (
    number INTEGER PRIMARY KEY,
    document TEXT NOT NULL,
    saved BLOB NOT NULL,
    found_ms INTEGER NOT NULL
);

-- What is taken out of the index leaves no trace in it.
INSERT INTO search (search, rank) VALUES ('secure-delete', 1);
