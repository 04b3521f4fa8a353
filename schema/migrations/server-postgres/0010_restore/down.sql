DROP TABLE resupplied_documents;
DROP TABLE resupplies;
DROP TABLE restores;
