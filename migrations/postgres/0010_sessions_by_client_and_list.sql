-- While a client is disabled, a status list needs the indices of its sessions in that list, and nothing else of them.
DROP INDEX sessions_by_client;
CREATE INDEX sessions_by_client ON sessions (client_id, status_list, status_index);

UPDATE instance SET schema_version = 10;
