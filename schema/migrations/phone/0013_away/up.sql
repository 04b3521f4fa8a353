-- Since when the record itself is on the server only, ms UTC of the server; NULL while it is here.
ALTER TABLE list ADD COLUMN away_ms INTEGER;
-- Records that were asked for although they were closed long ago: they stay until then.
CREATE TABLE kept (
    document TEXT PRIMARY KEY NOT NULL,
    until_ms INTEGER NOT NULL
) WITHOUT ROWID;
