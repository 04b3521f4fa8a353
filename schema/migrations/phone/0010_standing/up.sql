-- When a request that carries the change was made and not yet answered, ms UTC by the phone's idea of the server's time; NULL while
-- the change is only here.
ALTER TABLE outbox ADD COLUMN sent_ms INTEGER;
-- Records are counted by where they are without reading them.
CREATE INDEX documents_synced ON documents (synced_ms, id);
CREATE INDEX outbox_sent ON outbox (document, sent_ms);
CREATE INDEX refused_document ON refused (document);
