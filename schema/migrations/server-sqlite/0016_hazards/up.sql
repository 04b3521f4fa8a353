-- The pages add up what hazards are left.
CREATE INDEX patrols_hazards ON patrols (hazards_open, community);
