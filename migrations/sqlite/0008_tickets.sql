-- What a link or code from a mail, or the next step of a sign-in, stands for. Works once; void as soon as the
-- account has changed. What it is about is sealed.
CREATE TABLE tickets (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    client_id TEXT NOT NULL,
    user_id TEXT REFERENCES users (id),
    security_version INTEGER NOT NULL,
    secret_hash BLOB NOT NULL,
    code_hash BLOB NOT NULL,
    attempts_left INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    sealing_version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX tickets_by_user ON tickets (user_id, created_at);
CREATE INDEX tickets_by_end ON tickets (expires_at);

-- A password that counts only until its owner has chosen another.
ALTER TABLE passwords ADD COLUMN must_change INTEGER NOT NULL DEFAULT 0;

UPDATE instance SET schema_version = 8;
