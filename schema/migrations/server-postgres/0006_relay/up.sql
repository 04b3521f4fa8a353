-- Parcels that came by relay and could not be opened, the last few as they came, for those who look for the cause.
CREATE TABLE refused_parcels (
    id TEXT PRIMARY KEY NOT NULL,
    -- SHA-256 of the bytes.
    digest BYTEA NOT NULL,
    -- `device` or `user` with an id, or `file`.
    via TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    received_ms BIGINT NOT NULL,
    bytes BYTEA NOT NULL
);
CREATE INDEX refused_parcels_received ON refused_parcels (received_ms);
