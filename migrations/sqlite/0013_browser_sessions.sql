-- A session may stand behind a cookie, and one session may be opened from another. The table is rebuilt because a
-- session may also have no user.
CREATE TABLE sessions_13 (
    id TEXT PRIMARY KEY,
    user_id TEXT REFERENCES users (id),
    subject TEXT NOT NULL,
    client_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    secret_hash BLOB NOT NULL,
    rotated_at INTEGER NOT NULL,
    previous_rotated_at INTEGER NOT NULL,
    rotation_request_id TEXT,
    auth_time INTEGER NOT NULL,
    amr TEXT NOT NULL,
    acr TEXT NOT NULL,
    scopes TEXT NOT NULL,
    audiences TEXT NOT NULL,
    roles TEXT NOT NULL,
    claims TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    idle_ttl INTEGER NOT NULL,
    idle_expires_at INTEGER NOT NULL,
    absolute_expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revoked_cause TEXT,
    device_label TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    address TEXT NOT NULL,
    status_list INTEGER,
    status_index INTEGER,
    -- token, browser, guest or pat.
    kind TEXT NOT NULL DEFAULT 'token',
    -- The session that this one was opened from, and ends with.
    parent_id TEXT,
    -- The origin where its cookie counts.
    site TEXT,
    -- The session that replaced it.
    superseded_by TEXT
) STRICT;
INSERT INTO sessions_13 (id, user_id, subject, client_id, generation, secret_hash, rotated_at, previous_rotated_at,
    rotation_request_id, auth_time, amr, acr, scopes, audiences, roles, claims, created_at, idle_ttl, idle_expires_at,
    absolute_expires_at, revoked_at, revoked_cause, device_label, user_agent, address, status_list, status_index)
SELECT id, user_id, subject, client_id, generation, secret_hash, rotated_at, previous_rotated_at,
    rotation_request_id, auth_time, amr, acr, scopes, audiences, roles, claims, created_at, idle_ttl, idle_expires_at,
    absolute_expires_at, revoked_at, revoked_cause, device_label, user_agent, address, status_list, status_index
FROM sessions;
DROP TABLE sessions;
ALTER TABLE sessions_13 RENAME TO sessions;
-- No column that a refresh or a touch writes is indexed.
CREATE INDEX sessions_by_user ON sessions (user_id) WHERE revoked_at IS NULL;
CREATE INDEX sessions_by_client ON sessions (client_id, status_list, status_index);
CREATE INDEX sessions_by_parent ON sessions (parent_id) WHERE parent_id IS NOT NULL;

-- What an application keeps with a session or a user.
CREATE TABLE session_data (
    owner TEXT NOT NULL,
    namespace TEXT NOT NULL,
    value BLOB NOT NULL,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (owner, namespace)
) STRICT, WITHOUT ROWID;

-- What a user has allowed a client.
CREATE TABLE consents (
    user_id TEXT NOT NULL REFERENCES users (id),
    client_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    audiences TEXT NOT NULL,
    claims TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, client_id)
) STRICT, WITHOUT ROWID;

-- Clients that are to be told that a session ended. One stands here for each revoked session that had a parent.
CREATE TABLE logout_deliveries (
    session_id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    -- Until then somebody is sending it; claimed_by tells one attempt from the next.
    claimed_until INTEGER NOT NULL,
    claimed_by TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX logout_deliveries_by_next_attempt ON logout_deliveries (next_attempt_at);

-- Forms that have opened a session. The sealed result is kept only for as long as a repeated request may get it.
CREATE TABLE spent_forms (
    id BLOB PRIMARY KEY,
    proof BLOB NOT NULL,
    session_id TEXT NOT NULL,
    result BLOB,
    spent_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_forms_by_time ON spent_forms (spent_at);
CREATE INDEX spent_forms_with_result ON spent_forms (spent_at) WHERE result IS NOT NULL;

-- Who may take the next step of a sign-in, which step that is, and, for a short time, what the last one led to.
ALTER TABLE tickets ADD COLUMN holder BLOB;
ALTER TABLE tickets ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tickets ADD COLUMN result BLOB;

-- What must be unique about a client's site.
ALTER TABLE clients ADD COLUMN site_key TEXT;
CREATE UNIQUE INDEX clients_by_site ON clients (site_key) WHERE site_key IS NOT NULL;

UPDATE instance SET schema_version = 13;
