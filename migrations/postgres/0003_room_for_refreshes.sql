-- A refresh writes its row anew. With room on the page it stays there, and no index has to learn of it
-- (a heap-only update), since no column that a refresh writes is indexed.
ALTER TABLE sessions SET (fillfactor = 90);

UPDATE instance SET schema_version = 3;
