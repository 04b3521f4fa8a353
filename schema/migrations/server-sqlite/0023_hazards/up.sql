-- Hazards of all patrols in one list: what was found where, since when, by whom, and whether it was put right. A projection: `rebuild`
-- fills it for patrols that do not change any more.
CREATE TABLE hazards (
    document TEXT NOT NULL,
    hazard TEXT NOT NULL,
    community TEXT NOT NULL,
    grid TEXT,
    building TEXT,
    -- Who made the patrol record: he may always see it.
    created_by TEXT NOT NULL,
    kind TEXT,
    grade TEXT,
    place TEXT NOT NULL,
    note TEXT NOT NULL,
    found_by TEXT,
    found_ms BIGINT NOT NULL,
    rectify_by_ms BIGINT,
    rectified_by TEXT,
    rectified_ms BIGINT,
    PRIMARY KEY (document, hazard)
);
CREATE INDEX hazards_found ON hazards (found_ms, document, hazard);
-- What is left, of all that was ever found.
CREATE INDEX hazards_left ON hazards (community, found_ms) WHERE rectified_ms IS NULL;
