-- What a person decided about a refused change, and what the server knew of its time when it came.
ALTER TABLE quarantine ADD COLUMN witness TEXT;
ALTER TABLE quarantine ADD COLUMN decided_by TEXT;
ALTER TABLE quarantine ADD COLUMN decided_ms BIGINT;
ALTER TABLE quarantine ADD COLUMN reason TEXT;
CREATE INDEX quarantine_change ON quarantine (hash);
