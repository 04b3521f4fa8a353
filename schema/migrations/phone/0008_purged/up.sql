-- What was purged because the server ordered it, until the server has heard that it was.
CREATE TABLE purged (
    -- document, community; file: the content of an attachment of one of them
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (kind, target)
) WITHOUT ROWID;
