DROP INDEX notifications_raised;
DROP INDEX cases_resolved;
DROP INDEX cases_summoned;
DROP INDEX cases_assignee;
DROP INDEX cases_creator;
ALTER TABLE cases DROP COLUMN late_ms;
ALTER TABLE cases DROP COLUMN resolved_ms;
ALTER TABLE cases DROP COLUMN summoned_ms;
ALTER TABLE cases DROP COLUMN awaited;
