-- A pledge may also be a receipt that another phone gave with the changes that it proves: then these are its signed bytes, and
-- signature and list are empty.
ALTER TABLE pledges ADD COLUMN receipt BLOB;
