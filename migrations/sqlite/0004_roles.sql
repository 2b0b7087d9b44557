-- Named sets of permissions. Those of a built-in role are known to the program; its row holds none.
CREATE TABLE roles (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    permissions TEXT NOT NULL,
    built_in TEXT,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

INSERT INTO roles (id, name, description, permissions, built_in, revision, created_at, updated_at) VALUES
    ('rol_00000000000000000000000001', 'administrator', 'May do everything at this server', '[]', 'administrator', 1, 0, 0),
    ('rol_00000000000000000000000002', 'user-administrator', 'Administers users and sees what was done', '[]', 'user_administrator', 1, 0, 0),
    ('rol_00000000000000000000000003', 'auditor', 'Sees everything and changes nothing', '[]', 'auditor', 1, 0, 0);

CREATE TABLE user_roles (
    user_id TEXT NOT NULL REFERENCES users (id),
    role_id TEXT NOT NULL REFERENCES roles (id),
    assigned_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, role_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_roles_by_role ON user_roles (role_id, user_id);

-- A deleted user's row stays without anything personal, so that its subject never becomes somebody else's.
ALTER TABLE users ADD COLUMN deleted_at INTEGER;

-- Rises with every change, so that none is lost; a replaced secret counts until its time is over.
ALTER TABLE clients ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE clients ADD COLUMN previous_secret_hash BLOB;
ALTER TABLE clients ADD COLUMN previous_secret_until INTEGER;

-- Through which client a user acted, and from where.
ALTER TABLE audit_events ADD COLUMN client_id TEXT;
ALTER TABLE audit_events ADD COLUMN address TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_events_by_subject ON audit_events (subject, id);
CREATE INDEX audit_events_by_actor ON audit_events (actor, id);

-- A creation that is asked for again with the same request id creates nothing more.
CREATE TABLE creations (
    caller TEXT NOT NULL,
    method TEXT NOT NULL,
    request_id TEXT NOT NULL,
    payload_hash BLOB NOT NULL,
    created_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (caller, method, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX creations_by_time ON creations (at);

UPDATE instance SET schema_version = 4;
