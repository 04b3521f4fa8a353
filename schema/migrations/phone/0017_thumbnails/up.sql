-- Which pictures the records here name: what small pictures are fetched for before anybody asks.
CREATE TABLE pictures (
    document TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (document, hash)
) WITHOUT ROWID;
CREATE INDEX pictures_hash ON pictures (hash);

-- Small pictures that lie, encrypted, in the folder beside this store; and those that the server could not give.
CREATE TABLE thumbnails (
    hash TEXT NOT NULL,
    -- The longer side.
    points INTEGER NOT NULL,
    -- NULL: it does not lie here, and is not asked for before `again_ms`.
    bytes INTEGER,
    used_ms INTEGER NOT NULL,
    again_ms INTEGER,
    PRIMARY KEY (hash, points)
) WITHOUT ROWID;
