-- What the pages ask all day: what is due, what wants a decision, what a community adds up to.
CREATE INDEX cases_open_due ON cases (is_open, due_ms, document);
CREATE INDEX cases_review ON cases (needs_review, updated_ms, document);
CREATE INDEX cases_major ON cases (is_open, major_alert, updated_ms, document);
CREATE INDEX cases_late ON cases (is_open, arrived_late, updated_ms, document);
-- Not by community first: a list over many communities must not be drawn away from its order.
CREATE INDEX cases_sums ON cases (is_open, level, community, due_ms);
CREATE INDEX cases_received ON cases (received_ms, community);
CREATE INDEX patrols_sums ON patrols (received_ms, community);
