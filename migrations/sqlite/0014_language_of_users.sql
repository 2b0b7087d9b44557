-- The language in which the server writes to a user: a BCP 47 tag in lower case, if it is known.
ALTER TABLE users ADD COLUMN language TEXT;

UPDATE instance SET schema_version = 14;
