-- The place of a login among its user's logins of the same kind: the first address is the primary one.
ALTER TABLE logins ADD COLUMN ordinal BIGINT NOT NULL DEFAULT 0;

UPDATE instance SET schema_version = 12;
