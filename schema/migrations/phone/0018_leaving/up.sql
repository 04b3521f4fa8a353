-- What is over and not changed for long may leave the phone: looked for at the end of every sync, among all that is here.
CREATE INDEX list_leaving ON list (status, changed_ms) WHERE away_ms IS NULL;
