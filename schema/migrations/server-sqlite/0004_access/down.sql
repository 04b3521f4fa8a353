DROP TABLE device_orders;
DROP TABLE device_scopes;
DROP TABLE document_moves;
