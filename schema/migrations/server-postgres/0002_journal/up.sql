-- The journal is the truth: every accepted change, gapless per community. Everything below it can be recomputed.
CREATE TABLE journal (
    community TEXT NOT NULL,
    position BIGINT NOT NULL,
    document TEXT NOT NULL,
    hash BYTEA NOT NULL,
    actor BYTEA NOT NULL,
    seq BIGINT NOT NULL,
    -- Who signed: a person, on a phone or at a desk; the nil user is the server itself.
    author TEXT NOT NULL,
    device TEXT,
    -- When its author says it was made, when it can have been made, when it arrived; ms UTC.
    written_ms BIGINT NOT NULL,
    earliest_ms BIGINT NOT NULL,
    latest_ms BIGINT NOT NULL,
    basis TEXT NOT NULL,
    received_ms BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (community, position)
);
CREATE UNIQUE INDEX journal_hash ON journal (document, hash);
CREATE UNIQUE INDEX journal_actor ON journal (document, actor, seq);
CREATE INDEX journal_document ON journal (document, position);

-- A document as the changes of the journal make it: a cache.
CREATE TABLE documents (
    id TEXT PRIMARY KEY NOT NULL,
    community TEXT NOT NULL,
    kind TEXT NOT NULL,
    grid TEXT,
    building TEXT,
    created_by TEXT NOT NULL,
    position BIGINT NOT NULL,
    saved BYTEA NOT NULL
);
CREATE INDEX documents_community ON documents (community, id);

-- Whose each actor is. Never reused.
CREATE TABLE actors (
    actor BYTEA PRIMARY KEY NOT NULL,
    device TEXT NOT NULL,
    author TEXT NOT NULL,
    first_ms BIGINT NOT NULL
);

-- What was refused, kept with its reason.
CREATE TABLE quarantine (
    id TEXT PRIMARY KEY NOT NULL,
    document TEXT NOT NULL,
    hash BYTEA NOT NULL,
    kind TEXT NOT NULL,
    community TEXT NOT NULL,
    author TEXT NOT NULL,
    device TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    preview TEXT NOT NULL,
    written_ms BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    state TEXT NOT NULL
);
CREATE UNIQUE INDEX quarantine_hash ON quarantine (document, hash);
CREATE INDEX quarantine_community ON quarantine (community, received_ms);

-- Projections: rows for lists, queues and pages; `rebuild` recomputes them from the journal, byte for byte.
CREATE TABLE cases (
    document TEXT PRIMARY KEY NOT NULL,
    search_id BIGINT NOT NULL UNIQUE,
    community TEXT NOT NULL,
    grid TEXT,
    building TEXT,
    title TEXT NOT NULL,
    category TEXT,
    severity TEXT,
    status TEXT NOT NULL,
    level TEXT NOT NULL,
    is_open BOOLEAN NOT NULL,
    assignee TEXT,
    created_by TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    people_involved BIGINT,
    amount_claimed BIGINT,
    amount_agreed BIGINT,
    conflicts INTEGER NOT NULL,
    passages INTEGER NOT NULL,
    closed_without_knowing INTEGER NOT NULL,
    evidence_pending INTEGER NOT NULL,
    needs_review BOOLEAN NOT NULL,
    major_alert BOOLEAN NOT NULL,
    arrived_late BOOLEAN NOT NULL,
    due_ms BIGINT,
    next_action_ms BIGINT,
    position BIGINT NOT NULL,
    search_text TEXT NOT NULL,
    state TEXT NOT NULL
);
CREATE INDEX cases_community ON cases (community, updated_ms, document);
CREATE INDEX cases_updated ON cases (updated_ms, document);
CREATE INDEX cases_created ON cases (created_ms, document);
CREATE INDEX cases_due ON cases (due_ms, document);
CREATE INDEX cases_action ON cases (next_action_ms);
CREATE INDEX cases_place ON cases (building, created_ms);

CREATE TABLE patrols (
    document TEXT PRIMARY KEY NOT NULL,
    community TEXT NOT NULL,
    grid TEXT,
    building TEXT,
    status TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    hazards INTEGER NOT NULL,
    hazards_open INTEGER NOT NULL,
    problems INTEGER NOT NULL,
    leaflets BIGINT NOT NULL,
    needs_review BOOLEAN NOT NULL,
    position BIGINT NOT NULL,
    state TEXT NOT NULL
);
CREATE INDEX patrols_community ON patrols (community, updated_ms, document);

CREATE TABLE obligations (
    document TEXT NOT NULL,
    rule TEXT NOT NULL,
    trigger_event TEXT NOT NULL,
    community TEXT NOT NULL,
    level TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    provisional BOOLEAN NOT NULL,
    outcome TEXT NOT NULL,
    outcome_event TEXT,
    PRIMARY KEY (document, rule, trigger_event)
);
CREATE INDEX obligations_due ON obligations (community, outcome, due_ms);

-- Who was told of what, and why it was taken back.
CREATE TABLE notifications (
    document TEXT NOT NULL,
    event TEXT NOT NULL,
    kind TEXT NOT NULL,
    community TEXT NOT NULL,
    level TEXT NOT NULL,
    roles TEXT NOT NULL,
    raised_ms BIGINT NOT NULL,
    withdrawn_by TEXT,
    withdrawn_written_ms BIGINT,
    withdrawn_received_ms BIGINT,
    PRIMARY KEY (document, event)
);
CREATE INDEX notifications_community ON notifications (community, raised_ms);

-- Two-character terms of each case; searched first, then checked against `search_text`. An array, because the text search
-- parser depends on the locale of the cluster and most locales do not know Chinese.
CREATE TABLE case_search (
    search_id BIGINT PRIMARY KEY NOT NULL,
    grams TEXT[] NOT NULL
);
CREATE INDEX case_search_grams ON case_search USING GIN (grams);
