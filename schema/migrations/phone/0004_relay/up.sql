-- Parcels that this phone carries for others. Sealed: it can neither read nor alter them.
CREATE TABLE parcels (
    -- The order in which they came.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- SHA-256 of the bytes.
    digest BLOB NOT NULL UNIQUE,
    id TEXT NOT NULL,
    taken_up_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    size INTEGER NOT NULL,
    -- NULL once the server has answered for good.
    bytes BLOB,
    -- carried, delivered, refused
    state TEXT NOT NULL,
    code TEXT
);

-- Receipts of the server that this phone carries back to those who wrote what was delivered.
CREATE TABLE parcel_receipts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE,
    taken_up_ms INTEGER NOT NULL,
    bytes BLOB NOT NULL
);
