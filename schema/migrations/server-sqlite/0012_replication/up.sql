-- What a phone told of itself at its last contact, besides backlog, version and clock.
ALTER TABLE devices ADD COLUMN complete_ms BIGINT;
ALTER TABLE devices ADD COLUMN doubts BIGINT;
ALTER TABLE devices ADD COLUMN storage_bytes BIGINT;
ALTER TABLE devices ADD COLUMN storage_free_bytes BIGINT;

-- What is wrong with a phone's replication and somebody must see to: raised once, closed when it is no longer so.
CREATE TABLE replication_alerts (
    id TEXT PRIMARY KEY NOT NULL,
    device TEXT NOT NULL,
    -- silent or clock
    kind TEXT NOT NULL,
    raised_ms BIGINT NOT NULL,
    closed_ms BIGINT
);
-- However many servers watch, one alert of a kind stands for a phone.
CREATE UNIQUE INDEX replication_alerts_open ON replication_alerts (device, kind) WHERE closed_ms IS NULL;
CREATE INDEX replication_alerts_device ON replication_alerts (device, raised_ms);
