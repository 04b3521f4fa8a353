-- What arrived lately is read in the order in which it arrived, and counted by community: one index for both. With the community before
-- the document it could not give the order, and the newest of a hundred thousand were found by sorting all of them.
DROP INDEX cases_received;
CREATE INDEX cases_received ON cases (received_ms, document, community);
DROP INDEX patrols_sums;
CREATE INDEX patrols_received ON patrols (received_ms, document, community);
-- Those to which somebody was summoned are shown in the order in which they changed.
DROP INDEX cases_summoned;
CREATE INDEX cases_summoned ON cases (updated_ms, document, community) WHERE summoned_ms IS NOT NULL;
