-- Failed guesses, counted by account, device and address. Keys are keyed hashes: people type passwords where
-- their login belongs. A row that has expired counts for nothing.
CREATE TABLE login_failures (
    key BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    failures INTEGER NOT NULL,
    -- Of a bucket: how full it was at the last failure, in milliseconds that it takes to drain.
    level INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX login_failures_by_end ON login_failures (expires_at);

UPDATE instance SET schema_version = 6;
