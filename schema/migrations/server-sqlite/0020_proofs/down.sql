DELETE FROM settings WHERE name = 'attachment_proofs';
DROP TABLE attachment_proofs;
