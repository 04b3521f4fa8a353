DROP TABLE archive_documents;
DROP TABLE archives;
