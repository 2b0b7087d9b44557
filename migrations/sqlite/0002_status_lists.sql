-- Where a session's and a client's bit stands in the published status lists.
ALTER TABLE sessions ADD COLUMN status_list INTEGER;
ALTER TABLE sessions ADD COLUMN status_index INTEGER;
ALTER TABLE clients ADD COLUMN status_list INTEGER;
ALTER TABLE clients ADD COLUMN status_index INTEGER;
ALTER TABLE feed_entries ADD COLUMN status_list INTEGER;
ALTER TABLE feed_entries ADD COLUMN status_index INTEGER;

-- A disabled client's sessions are marked too. No refresh writes the column.
CREATE INDEX sessions_by_client ON sessions (client_id);

-- Indices are handed out in blocks; the key turns the count into an order that nobody can guess.
CREATE TABLE status_lists (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    leased INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

UPDATE instance SET schema_version = 2;
