DROP TABLE lost_contents;
ALTER TABLE erased_holders DROP COLUMN why;
DROP TABLE held_documents;
DROP TABLE erased_contents;
