-- Named sets of permissions. Those of a built-in role are known to the program; its row holds none.
CREATE TABLE roles (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    description TEXT COLLATE "C" NOT NULL,
    permissions JSONB NOT NULL,
    built_in TEXT COLLATE "C",
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

INSERT INTO roles (id, name, description, permissions, built_in, revision, created_at, updated_at) VALUES
    ('rol_00000000000000000000000001', 'administrator', 'May do everything at this server', '[]', 'administrator', 1, 0, 0),
    ('rol_00000000000000000000000002', 'user-administrator', 'Administers users and sees what was done', '[]', 'user_administrator', 1, 0, 0),
    ('rol_00000000000000000000000003', 'auditor', 'Sees everything and changes nothing', '[]', 'auditor', 1, 0, 0);

CREATE TABLE user_roles (
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    role_id TEXT COLLATE "C" NOT NULL REFERENCES roles (id),
    assigned_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, role_id)
);
CREATE INDEX user_roles_by_role ON user_roles (role_id, user_id);

-- A deleted user's row stays without anything personal, so that its subject never becomes somebody else's.
ALTER TABLE users ADD COLUMN deleted_at BIGINT;

-- Rises with every change, so that none is lost; a replaced secret counts until its time is over.
ALTER TABLE clients ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
ALTER TABLE clients ADD COLUMN previous_secret_hash BYTEA;
ALTER TABLE clients ADD COLUMN previous_secret_until BIGINT;

-- Through which client a user acted, and from where.
ALTER TABLE audit_events ADD COLUMN client_id TEXT COLLATE "C";
ALTER TABLE audit_events ADD COLUMN address TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX audit_events_by_subject ON audit_events (subject, id);
CREATE INDEX audit_events_by_actor ON audit_events (actor, id);

-- A creation that is asked for again with the same request id creates nothing more.
CREATE TABLE creations (
    caller TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    payload_hash BYTEA NOT NULL,
    created_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (caller, method, request_id)
);
CREATE INDEX creations_by_time ON creations (at);

UPDATE instance SET schema_version = 4;
