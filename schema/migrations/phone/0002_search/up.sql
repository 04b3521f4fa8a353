-- Full text. Three characters and more are found by trigrams; shorter words, of which Chinese has most, by reading `list.text`.
CREATE VIRTUAL TABLE search USING fts5(text, content = 'list', content_rowid = 'number', tokenize = 'trigram');
INSERT INTO search (search) VALUES ('rebuild');
CREATE TRIGGER list_inserted AFTER INSERT ON list BEGIN
    INSERT INTO search (rowid, text) VALUES (new.number, new.text);
END;
CREATE TRIGGER list_deleted AFTER DELETE ON list BEGIN
    INSERT INTO search (search, rowid, text) VALUES ('delete', old.number, old.text);
END;
CREATE TRIGGER list_updated AFTER UPDATE ON list BEGIN
    INSERT INTO search (search, rowid, text) VALUES ('delete', old.number, old.text);
    INSERT INTO search (rowid, text) VALUES (new.number, new.text);
END;
