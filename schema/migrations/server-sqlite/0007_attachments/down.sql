DROP TABLE upload_parts;
DROP TABLE uploads;
DROP TABLE attachment_refs;
DROP TABLE objects;
