-- What Today asks: who is still awaited of those summoned, since when; when a dispute was settled; by how much a case was overdue when
-- it arrived. Projections: `rebuild` fills them for cases that do not change any more.
ALTER TABLE cases ADD COLUMN awaited TEXT NOT NULL DEFAULT '';
ALTER TABLE cases ADD COLUMN summoned_ms BIGINT;
ALTER TABLE cases ADD COLUMN resolved_ms BIGINT;
ALTER TABLE cases ADD COLUMN late_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX cases_creator ON cases (created_by, updated_ms, document);
-- Most cases stand in none of these.
CREATE INDEX cases_assignee ON cases (assignee, updated_ms, document) WHERE assignee IS NOT NULL;
CREATE INDEX cases_summoned ON cases (summoned_ms, document) WHERE summoned_ms IS NOT NULL;
CREATE INDEX cases_resolved ON cases (resolved_ms, community) WHERE resolved_ms IS NOT NULL;
CREATE INDEX notifications_raised ON notifications (raised_ms, kind, document);
