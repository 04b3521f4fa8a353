DROP TABLE replication_alerts;
ALTER TABLE devices DROP COLUMN complete_ms;
ALTER TABLE devices DROP COLUMN doubts;
ALTER TABLE devices DROP COLUMN storage_bytes;
ALTER TABLE devices DROP COLUMN storage_free_bytes;
