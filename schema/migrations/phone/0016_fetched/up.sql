-- What was fetched has a row as what was attached here has: for which record, and which life of the server vouched for it. After a
-- restore it is asked about too, and supplied if it was lost.
ALTER TABLE uploads ADD COLUMN fetched INTEGER NOT NULL DEFAULT 0;
