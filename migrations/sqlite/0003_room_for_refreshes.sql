-- SQLite updates rows in place: only the number follows PostgreSQL's.
UPDATE instance SET schema_version = 3;
