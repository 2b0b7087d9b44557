-- The version of the sealing key in use. One conditional update of this row brings the next one into use.
ALTER TABLE instance ADD COLUMN sealing_version INTEGER NOT NULL DEFAULT 1;

-- When a version came into use, when the next one did, and when it was dropped: nothing is read with it any more.
ALTER TABLE sealing_keys ADD COLUMN used_from INTEGER;
ALTER TABLE sealing_keys ADD COLUMN used_until INTEGER;
ALTER TABLE sealing_keys ADD COLUMN dropped_at INTEGER;
UPDATE sealing_keys SET used_from = created_at;
-- Servers that start at the same time register a key once.
CREATE UNIQUE INDEX sealing_keys_by_check_value ON sealing_keys (check_value);

-- The servers that run on this database, as each of them says every few seconds.
CREATE TABLE processes (
    id TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    binary_version INTEGER NOT NULL,
    host TEXT NOT NULL,
    -- The versions of the sealing key that it holds.
    sealing_versions TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

UPDATE instance SET schema_version = 16;
