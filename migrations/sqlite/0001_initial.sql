-- One row: which deployment this database belongs to.
CREATE TABLE instance (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version INTEGER NOT NULL,
    min_binary INTEGER NOT NULL,
    issuer TEXT NOT NULL,
    dev INTEGER NOT NULL,
    settings TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- One row: the number of the newest change, its tag, and the epoch of this history.
CREATE TABLE feed (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    tag TEXT NOT NULL
) STRICT;

CREATE TABLE feed_entries (
    seq INTEGER PRIMARY KEY,
    tag TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT;

-- What each version of the sealing key must answer.
CREATE TABLE sealing_keys (
    version INTEGER PRIMARY KEY,
    check_value BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE signing_keys (
    id TEXT PRIMARY KEY,
    kid TEXT NOT NULL UNIQUE,
    alg TEXT NOT NULL,
    state TEXT NOT NULL,
    public_jwk TEXT NOT NULL,
    sealed BLOB NOT NULL,
    sealing_version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    activated_at INTEGER,
    retired_at INTEGER,
    rotate_at INTEGER
) STRICT;
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (alg) WHERE state = 'active';
CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys (alg) WHERE state = 'next';

-- Subjects of users and ids of clients stand under one unique key, so that neither can pass for the other.
CREATE TABLE principals (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL UNIQUE,
    attributes TEXT NOT NULL,
    security_version INTEGER NOT NULL,
    disabled_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE logins (
    canonical TEXT PRIMARY KEY,
    skeleton TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    display TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id)
) STRICT;
CREATE INDEX logins_by_user ON logins (user_id);

CREATE TABLE passwords (
    user_id TEXT PRIMARY KEY REFERENCES users (id),
    phc TEXT NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE audiences (
    name TEXT PRIMARY KEY,
    owner TEXT,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    secret_hash BLOB,
    config TEXT NOT NULL,
    disabled_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- No column that a refresh writes is indexed.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
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
    address TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id) WHERE revoked_at IS NULL;

CREATE TABLE audit_events (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    subject TEXT NOT NULL,
    session_id TEXT,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX audit_events_by_time ON audit_events (at);
