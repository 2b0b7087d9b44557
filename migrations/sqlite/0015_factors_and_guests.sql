-- A time-based one-time password (RFC 6238) that a user has set up. Its secret is sealed.
CREATE TABLE totp_factors (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    secret BLOB NOT NULL,
    sealing_version INTEGER NOT NULL,
    -- The time step of the last code that was accepted: no code counts twice.
    last_step INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX totp_factors_by_user ON totp_factors (user_id);

-- A passkey (WebAuthn). A credential belongs to one user alone.
CREATE TABLE passkeys (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    credential_id BLOB NOT NULL UNIQUE,
    -- The host where it was made: it counts there alone.
    rp_id TEXT NOT NULL,
    -- What stays as it was at the registration: the public key first of all.
    static_state BLOB NOT NULL,
    -- What each use may change: the counter of signatures and the state of its backup.
    dynamic_state BLOB NOT NULL,
    transports TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX passkeys_by_user ON passkeys (user_id);

-- Codes for a user who has lost the other factors, hashed. A code that was used is gone.
CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES users (id),
    hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, hash)
) STRICT, WITHOUT ROWID;

-- How many second factors a user has, so that a sign-in knows without another statement; and what authenticators call
-- the user (WebAuthn's user handle: random, so that it tells nothing).
ALTER TABLE users ADD COLUMN second_factors INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN passkey_handle BLOB;
CREATE UNIQUE INDEX users_by_passkey_handle ON users (passkey_handle) WHERE passkey_handle IS NOT NULL;

-- Whoever has the role must have signed in with two factors.
ALTER TABLE roles ADD COLUMN require_mfa INTEGER NOT NULL DEFAULT 0;

-- The sessions of guests, who are counted by client.
CREATE INDEX sessions_of_guests ON sessions (client_id, id) WHERE user_id IS NULL;

-- For each owner in `session_data` the highest version of a value that was deleted: none is given twice. Whoever adds a
-- value locks the row, so that no two count the same values.
CREATE TABLE session_data_owners (
    owner TEXT PRIMARY KEY,
    last_version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO session_data_owners (owner, last_version) SELECT owner, max(version) FROM session_data GROUP BY owner;

UPDATE instance SET schema_version = 15;
