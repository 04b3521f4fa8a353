-- From where people tried to sign in, and how it went. `account` is the hash of what was typed as a login, whether there is such an
-- account or not; `source` is a phone, an address, or `*` for all that are not known to the account. Rows are forgotten after a time.
CREATE TABLE login_sources (
    account TEXT NOT NULL,
    source TEXT NOT NULL,
    failures BIGINT NOT NULL,
    failed_ms BIGINT,
    succeeded_ms BIGINT,
    PRIMARY KEY (account, source)
);
