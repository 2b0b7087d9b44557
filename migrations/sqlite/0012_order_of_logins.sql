-- The place of a login among its user's logins of the same kind: the first address is the primary one.
ALTER TABLE logins ADD COLUMN ordinal INTEGER NOT NULL DEFAULT 0;

-- A name typed with a fullwidth @ took the address that it becomes from its owner. Nobody can sign in with it any more.
DELETE FROM logins WHERE kind = 'name' AND canonical LIKE '%@%';

UPDATE instance SET schema_version = 12;
