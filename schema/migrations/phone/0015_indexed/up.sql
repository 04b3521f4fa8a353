-- Whether the words of a record are in the index. Those of records that come together are put there together: the full-text table writes
-- out what it has gathered before every statement of several rows, so that a record at a time makes as many small pieces.
ALTER TABLE list ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0;
UPDATE list SET indexed = 1;
CREATE INDEX list_unindexed ON list (indexed) WHERE indexed = 0;
DROP TRIGGER list_inserted;
DROP TRIGGER list_deleted;
CREATE TRIGGER list_deleted AFTER DELETE ON list WHEN old.indexed = 1 BEGIN
    INSERT INTO search (search, rowid, text) VALUES ('delete', old.number, old.text);
END;
DROP TRIGGER list_updated;
CREATE TRIGGER list_updated AFTER UPDATE OF text ON list WHEN old.indexed = 1 BEGIN
    INSERT INTO search (search, rowid, text) VALUES ('delete', old.number, old.text);
    INSERT INTO search (rowid, text) VALUES (new.number, new.text);
END;
