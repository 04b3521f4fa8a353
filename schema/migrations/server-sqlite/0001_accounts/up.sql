-- Areas, people and what they are charged with, devices, sessions, keys.
CREATE TABLE areas (
    code TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    parent TEXT,
    -- Codes from the district down to this one, each followed by a slash.
    path TEXT NOT NULL
);
CREATE INDEX areas_path ON areas (path);

-- The journal of each community counts its own positions.
CREATE TABLE communities (
    code TEXT PRIMARY KEY NOT NULL,
    head BIGINT NOT NULL
);

CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    login TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL
);

-- Never deleted, only ended: what somebody wrote while an area was his is judged by what held then.
CREATE TABLE assignments (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL,
    role TEXT NOT NULL,
    area TEXT NOT NULL,
    from_ms BIGINT NOT NULL,
    until_ms BIGINT
);
CREATE INDEX assignments_user ON assignments (user_id);

CREATE TABLE devices (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    public_key BLOB NOT NULL UNIQUE,
    registered_ms BIGINT NOT NULL,
    revoked_ms BIGINT,
    last_seen_ms BIGINT,
    clock_offset_ms BIGINT,
    backlog BIGINT,
    version TEXT
);

-- One family of refresh tokens. The previous one stays valid until the current one is used, because networks lose answers.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL,
    device_id TEXT,
    current_hash BLOB NOT NULL UNIQUE,
    previous_hash BLOB,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    revoked_ms BIGINT
);
CREATE INDEX sessions_previous ON sessions (previous_hash);

-- Hashes of tokens that were replaced and whose successor was used: meeting one again means that somebody copied it.
CREATE TABLE spent_tokens (
    hash BLOB PRIMARY KEY NOT NULL,
    session_id TEXT NOT NULL
);

CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY NOT NULL,
    purpose TEXT NOT NULL,
    seed BLOB NOT NULL,
    created_ms BIGINT NOT NULL,
    retired_ms BIGINT
);

CREATE TABLE settings (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);
