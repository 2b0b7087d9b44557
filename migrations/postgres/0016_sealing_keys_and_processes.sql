-- The version of the sealing key in use. One conditional update of this row brings the next one into use.
ALTER TABLE instance ADD COLUMN sealing_version BIGINT NOT NULL DEFAULT 1;

-- When a version came into use, when the next one did, and when it was dropped: nothing is read with it any more.
ALTER TABLE sealing_keys ADD COLUMN used_from BIGINT;
ALTER TABLE sealing_keys ADD COLUMN used_until BIGINT;
ALTER TABLE sealing_keys ADD COLUMN dropped_at BIGINT;
UPDATE sealing_keys SET used_from = created_at;
-- Servers that start at the same time register a key once.
CREATE UNIQUE INDEX sealing_keys_by_check_value ON sealing_keys (check_value);

-- The servers that run on this database, as each of them says every few seconds.
CREATE TABLE processes (
    id TEXT COLLATE "C" PRIMARY KEY,
    version TEXT COLLATE "C" NOT NULL,
    binary_version BIGINT NOT NULL,
    host TEXT COLLATE "C" NOT NULL,
    -- The versions of the sealing key that it holds.
    sealing_versions JSONB NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

UPDATE instance SET schema_version = 16;
