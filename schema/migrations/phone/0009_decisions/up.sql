-- What people at the hall decided about refused changes.
ALTER TABLE refused ADD COLUMN accepted INTEGER;
ALTER TABLE refused ADD COLUMN decided_by TEXT;
ALTER TABLE refused ADD COLUMN reason TEXT;
ALTER TABLE refused ADD COLUMN decided_ms INTEGER;
