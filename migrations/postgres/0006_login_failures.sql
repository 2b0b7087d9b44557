-- Failed guesses, counted by account, device and address. Keys are keyed hashes: people type passwords where
-- their login belongs. A row that has expired counts for nothing.
CREATE TABLE login_failures (
    key BYTEA PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    failures BIGINT NOT NULL,
    -- Of a bucket: how full it was at the last failure, in milliseconds that it takes to drain.
    level BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX login_failures_by_end ON login_failures (expires_at);

UPDATE instance SET schema_version = 6;
