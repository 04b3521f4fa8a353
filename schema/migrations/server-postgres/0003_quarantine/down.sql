DROP INDEX quarantine_change;
ALTER TABLE quarantine DROP COLUMN reason;
ALTER TABLE quarantine DROP COLUMN decided_ms;
ALTER TABLE quarantine DROP COLUMN decided_by;
ALTER TABLE quarantine DROP COLUMN witness;
