DROP INDEX cases_received;
CREATE INDEX cases_received ON cases (received_ms, community);
DROP INDEX patrols_received;
CREATE INDEX patrols_sums ON patrols (received_ms, community);
DROP INDEX cases_summoned;
CREATE INDEX cases_summoned ON cases (summoned_ms, document) WHERE summoned_ms IS NOT NULL;
