-- Mails that are to be sent. One stands here exactly if the change that it tells of was committed.
CREATE TABLE mails (
    id TEXT COLLATE "C" PRIMARY KEY,
    recipient TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    language TEXT COLLATE "C" NOT NULL,
    -- Codes and links among other things: sealed.
    params BYTEA NOT NULL,
    sealing_version BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    -- Until then somebody is sending it; claimed_by tells one attempt from the next.
    claimed_until BIGINT NOT NULL,
    claimed_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX mails_by_next_attempt ON mails (next_attempt_at);

UPDATE instance SET schema_version = 5;
