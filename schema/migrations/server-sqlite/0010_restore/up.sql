-- From which backup each life of this server began, and which journal the life before it had.
CREATE TABLE restores (
    journal TEXT PRIMARY KEY NOT NULL,
    former TEXT NOT NULL,
    -- The newest thing in the backup, ms UTC.
    backup_ms BIGINT NOT NULL,
    restored_ms BIGINT NOT NULL,
    -- What the backup held.
    documents BIGINT NOT NULL,
    changes BIGINT NOT NULL
);

-- How far each phone has come that met this life of the server.
CREATE TABLE resupplies (
    journal TEXT NOT NULL,
    device TEXT NOT NULL,
    met_ms BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    -- Documents that it still has to compare or to hand in.
    open_documents BIGINT NOT NULL,
    -- When it had nothing left to compare or hand in.
    done_ms BIGINT,
    PRIMARY KEY (journal, device)
);

-- What phones handed in of each document, and what the server still lacks of what they hold.
CREATE TABLE resupplied_documents (
    journal TEXT NOT NULL,
    document TEXT NOT NULL,
    device TEXT NOT NULL,
    changes BIGINT NOT NULL,
    -- Why the rest was not taken; NULL when nothing is lacking.
    code TEXT,
    PRIMARY KEY (journal, document, device)
);
