-- What a file that was applied has named, so that what is in it no more can be told from what was never in it. What was
-- pruned stays noted: it comes back with the file.
CREATE TABLE declared (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    pruned_at INTEGER,
    noted_at INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- The hashes of the secrets that clients have had from files: an old file does not bring an old secret back.
CREATE TABLE declared_secrets (
    client_id TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    noted_at INTEGER NOT NULL,
    PRIMARY KEY (client_id, secret_hash)
) STRICT, WITHOUT ROWID;

UPDATE instance SET schema_version = 17;
