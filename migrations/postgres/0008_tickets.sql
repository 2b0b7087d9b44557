-- What a link or code from a mail, or the next step of a sign-in, stands for. Works once; void as soon as the
-- account has changed. What it is about is sealed.
CREATE TABLE tickets (
    id TEXT COLLATE "C" PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" REFERENCES users (id),
    security_version BIGINT NOT NULL,
    secret_hash BYTEA NOT NULL,
    code_hash BYTEA NOT NULL,
    attempts_left BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    sealing_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX tickets_by_user ON tickets (user_id, created_at);
CREATE INDEX tickets_by_end ON tickets (expires_at);

-- A password that counts only until its owner has chosen another.
ALTER TABLE passwords ADD COLUMN must_change BIGINT NOT NULL DEFAULT 0;

UPDATE instance SET schema_version = 8;
