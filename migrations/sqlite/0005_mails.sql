-- Mails that are to be sent. One stands here exactly if the change that it tells of was committed.
CREATE TABLE mails (
    id TEXT PRIMARY KEY,
    recipient TEXT NOT NULL,
    kind TEXT NOT NULL,
    language TEXT NOT NULL,
    -- Codes and links among other things: sealed.
    params BLOB NOT NULL,
    sealing_version INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    -- Until then somebody is sending it; claimed_by tells one attempt from the next.
    claimed_until INTEGER NOT NULL,
    claimed_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX mails_by_next_attempt ON mails (next_attempt_at);

UPDATE instance SET schema_version = 5;
