-- What a ticket is about, as a keyed hash: of all registrations of one address only the latest is valid.
ALTER TABLE tickets ADD COLUMN topic BLOB;
CREATE INDEX tickets_by_topic ON tickets (topic) WHERE topic IS NOT NULL;

UPDATE instance SET schema_version = 11;
