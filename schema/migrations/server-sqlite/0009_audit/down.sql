ALTER TABLE cases DROP COLUMN numbers;
DROP TABLE erased_holders;
DROP TABLE erased_documents;
DROP TABLE erasures;
DROP TABLE audit_chain;
DROP TABLE audit;
