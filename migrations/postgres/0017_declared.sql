-- What a file that was applied has named, so that what is in it no more can be told from what was never in it. What was
-- pruned stays noted: it comes back with the file.
CREATE TABLE declared (
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    pruned_at BIGINT,
    noted_at BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);

-- The hashes of the secrets that clients have had from files: an old file does not bring an old secret back.
CREATE TABLE declared_secrets (
    client_id TEXT COLLATE "C" NOT NULL,
    secret_hash BYTEA NOT NULL,
    noted_at BIGINT NOT NULL,
    PRIMARY KEY (client_id, secret_hash)
);

UPDATE instance SET schema_version = 17;
