-- One row: which deployment this database belongs to.
CREATE TABLE instance (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    schema_version BIGINT NOT NULL,
    min_binary BIGINT NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    dev BIGINT NOT NULL,
    settings JSONB NOT NULL,
    created_at BIGINT NOT NULL
);

-- One row: the number of the newest change, its tag, and the epoch of this history.
CREATE TABLE feed (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    epoch TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    tag TEXT COLLATE "C" NOT NULL
);

CREATE TABLE feed_entries (
    seq BIGINT PRIMARY KEY,
    tag TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL
);

-- What each version of the sealing key must answer.
CREATE TABLE sealing_keys (
    version BIGINT PRIMARY KEY,
    check_value BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE signing_keys (
    id TEXT COLLATE "C" PRIMARY KEY,
    kid TEXT COLLATE "C" NOT NULL UNIQUE,
    alg TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    public_jwk JSONB NOT NULL,
    sealed BYTEA NOT NULL,
    sealing_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    activated_at BIGINT,
    retired_at BIGINT,
    rotate_at BIGINT
);
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (alg) WHERE state = 'active';
CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys (alg) WHERE state = 'next';

-- Subjects of users and ids of clients stand under one unique key, so that neither can pass for the other.
CREATE TABLE principals (
    name TEXT COLLATE "C" PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL
);

CREATE TABLE users (
    id TEXT COLLATE "C" PRIMARY KEY,
    subject TEXT COLLATE "C" NOT NULL UNIQUE,
    attributes JSONB NOT NULL,
    security_version BIGINT NOT NULL,
    disabled_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE logins (
    canonical TEXT COLLATE "C" PRIMARY KEY,
    skeleton TEXT COLLATE "C" NOT NULL UNIQUE,
    kind TEXT COLLATE "C" NOT NULL,
    display TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id)
);
CREATE INDEX logins_by_user ON logins (user_id);

CREATE TABLE passwords (
    user_id TEXT COLLATE "C" PRIMARY KEY REFERENCES users (id),
    phc TEXT COLLATE "C" NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE audiences (
    name TEXT COLLATE "C" PRIMARY KEY,
    owner TEXT COLLATE "C",
    created_at BIGINT NOT NULL
);

CREATE TABLE clients (
    id TEXT COLLATE "C" PRIMARY KEY,
    secret_hash BYTEA,
    config JSONB NOT NULL,
    disabled_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- No column that a refresh writes is indexed.
CREATE TABLE sessions (
    id TEXT COLLATE "C" PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    subject TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    secret_hash BYTEA NOT NULL,
    rotated_at BIGINT NOT NULL,
    previous_rotated_at BIGINT NOT NULL,
    rotation_request_id TEXT COLLATE "C",
    auth_time BIGINT NOT NULL,
    amr JSONB NOT NULL,
    acr TEXT COLLATE "C" NOT NULL,
    scopes JSONB NOT NULL,
    audiences JSONB NOT NULL,
    roles JSONB NOT NULL,
    claims JSONB NOT NULL,
    created_at BIGINT NOT NULL,
    idle_ttl BIGINT NOT NULL,
    idle_expires_at BIGINT NOT NULL,
    absolute_expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_cause TEXT COLLATE "C",
    device_label TEXT COLLATE "C" NOT NULL,
    user_agent TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id) WHERE revoked_at IS NULL;

CREATE TABLE audit_events (
    id TEXT COLLATE "C" PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C",
    details JSONB NOT NULL
);
CREATE INDEX audit_events_by_time ON audit_events (at);
