-- What waits to be received at a level, newest first: without it every open case of the level was looked at and sorted.
CREATE INDEX cases_to_receive ON cases (status, level, received_ms, document);
