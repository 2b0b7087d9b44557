-- A time-based one-time password (RFC 6238) that a user has set up. Its secret is sealed.
CREATE TABLE totp_factors (
    id TEXT COLLATE "C" PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    name TEXT COLLATE "C" NOT NULL,
    secret BYTEA NOT NULL,
    sealing_version BIGINT NOT NULL,
    -- The time step of the last code that was accepted: no code counts twice.
    last_step BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX totp_factors_by_user ON totp_factors (user_id);

-- A passkey (WebAuthn). A credential belongs to one user alone.
CREATE TABLE passkeys (
    id TEXT COLLATE "C" PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    name TEXT COLLATE "C" NOT NULL,
    credential_id BYTEA NOT NULL UNIQUE,
    -- The host where it was made: it counts there alone.
    rp_id TEXT COLLATE "C" NOT NULL,
    -- What stays as it was at the registration: the public key first of all.
    static_state BYTEA NOT NULL,
    -- What each use may change: the counter of signatures and the state of its backup.
    dynamic_state BYTEA NOT NULL,
    transports JSONB NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX passkeys_by_user ON passkeys (user_id);

-- Codes for a user who has lost the other factors, hashed. A code that was used is gone.
CREATE TABLE recovery_codes (
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    hash BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

-- How many second factors a user has, so that a sign-in knows without another statement; and what authenticators call
-- the user (WebAuthn's user handle: random, so that it tells nothing).
ALTER TABLE users ADD COLUMN second_factors BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN passkey_handle BYTEA;
CREATE UNIQUE INDEX users_by_passkey_handle ON users (passkey_handle) WHERE passkey_handle IS NOT NULL;

-- Whoever has the role must have signed in with two factors.
ALTER TABLE roles ADD COLUMN require_mfa BIGINT NOT NULL DEFAULT 0;

-- The sessions of guests, who are counted by client.
CREATE INDEX sessions_of_guests ON sessions (client_id, id) WHERE user_id IS NULL;

-- For each owner in `session_data` the highest version of a value that was deleted: none is given twice. Whoever adds a
-- value locks the row, so that no two count the same values.
CREATE TABLE session_data_owners (
    owner TEXT COLLATE "C" PRIMARY KEY,
    last_version BIGINT NOT NULL
);
INSERT INTO session_data_owners (owner, last_version) SELECT owner, max(version) FROM session_data GROUP BY owner;

UPDATE instance SET schema_version = 15;
