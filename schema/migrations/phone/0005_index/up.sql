-- The index is touched only when what is searched changes, not whenever a status or a date does.
DROP TRIGGER list_updated;
CREATE TRIGGER list_updated AFTER UPDATE OF text ON list BEGIN
    INSERT INTO search (search, rowid, text) VALUES ('delete', old.number, old.text);
    INSERT INTO search (rowid, text) VALUES (new.number, new.text);
END;
