-- A session may stand behind a cookie, one session may be opened from another, and a session may have no user.
ALTER TABLE sessions ALTER COLUMN user_id DROP NOT NULL;
-- token, browser, guest or pat.
ALTER TABLE sessions ADD COLUMN kind TEXT COLLATE "C" NOT NULL DEFAULT 'token';
-- The session that this one was opened from, and ends with.
ALTER TABLE sessions ADD COLUMN parent_id TEXT COLLATE "C";
-- The origin where its cookie counts.
ALTER TABLE sessions ADD COLUMN site TEXT COLLATE "C";
-- The session that replaced it.
ALTER TABLE sessions ADD COLUMN superseded_by TEXT COLLATE "C";
-- No column that a refresh or a touch writes is indexed.
CREATE INDEX sessions_by_parent ON sessions (parent_id) WHERE parent_id IS NOT NULL;

-- What an application keeps with a session or a user.
CREATE TABLE session_data (
    owner TEXT COLLATE "C" NOT NULL,
    namespace TEXT COLLATE "C" NOT NULL,
    value BYTEA NOT NULL,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (owner, namespace)
);

-- What a user has allowed a client.
CREATE TABLE consents (
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    client_id TEXT COLLATE "C" NOT NULL,
    scopes JSONB NOT NULL,
    audiences JSONB NOT NULL,
    claims JSONB NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id)
);

-- Clients that are to be told that a session ended. One stands here for each revoked session that had a parent.
CREATE TABLE logout_deliveries (
    session_id TEXT COLLATE "C" PRIMARY KEY,
    client_id TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    -- Until then somebody is sending it; claimed_by tells one attempt from the next.
    claimed_until BIGINT NOT NULL,
    claimed_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX logout_deliveries_by_next_attempt ON logout_deliveries (next_attempt_at);

-- Forms that have opened a session. The sealed result is kept only for as long as a repeated request may get it.
CREATE TABLE spent_forms (
    id BYTEA PRIMARY KEY,
    proof BYTEA NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    result BYTEA,
    spent_at BIGINT NOT NULL
);
CREATE INDEX spent_forms_by_time ON spent_forms (spent_at);
CREATE INDEX spent_forms_with_result ON spent_forms (spent_at) WHERE result IS NOT NULL;

-- Who may take the next step of a sign-in, which step that is, and, for a short time, what the last one led to.
ALTER TABLE tickets ADD COLUMN holder BYTEA;
ALTER TABLE tickets ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tickets ADD COLUMN result BYTEA;

-- What must be unique about a client's site.
ALTER TABLE clients ADD COLUMN site_key TEXT COLLATE "C";
CREATE UNIQUE INDEX clients_by_site ON clients (site_key) WHERE site_key IS NOT NULL;

UPDATE instance SET schema_version = 13;
