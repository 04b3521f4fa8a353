-- When a document's place changed: who could see it before and who can since, and until when work in the former place was in place.
CREATE TABLE document_moves (
    community TEXT NOT NULL,
    -- The position of the change that moved it, or of the last one that was accepted together with it.
    position BIGINT NOT NULL,
    document TEXT NOT NULL,
    from_grid TEXT,
    from_building TEXT,
    to_grid TEXT,
    to_building TEXT,
    moved_ms BIGINT NOT NULL,
    PRIMARY KEY (community, position)
);
CREATE INDEX document_moves_document ON document_moves (document);

-- Under which rights a phone was last served, so that other rights cost only the difference.
CREATE TABLE device_scopes (
    device TEXT NOT NULL,
    community TEXT NOT NULL,
    scope BIGINT NOT NULL,
    -- The roles behind it, as JSON.
    grants TEXT NOT NULL,
    -- What the phone held before it, as JSON, latest first: roles, and how far it had received whole documents.
    bases TEXT NOT NULL,
    PRIMARY KEY (device, community, scope)
);

-- What a phone was told to do and has, or has not yet, confirmed.
CREATE TABLE device_orders (
    device TEXT NOT NULL,
    -- document, community: forget it. wipe: destroy everything.
    kind TEXT NOT NULL,
    -- The document or community; empty for a wipe.
    target TEXT NOT NULL,
    id TEXT NOT NULL,
    ordered_ms BIGINT NOT NULL,
    -- The account that ordered it; NULL when it follows from rights or places.
    ordered_by TEXT,
    confirmed_ms BIGINT,
    PRIMARY KEY (device, kind, target)
);
CREATE INDEX device_orders_open ON device_orders (device, confirmed_ms);
