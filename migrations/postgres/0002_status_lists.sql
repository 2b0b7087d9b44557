-- Where a session's and a client's bit stands in the published status lists.
ALTER TABLE sessions ADD COLUMN status_list BIGINT;
ALTER TABLE sessions ADD COLUMN status_index BIGINT;
ALTER TABLE clients ADD COLUMN status_list BIGINT;
ALTER TABLE clients ADD COLUMN status_index BIGINT;
ALTER TABLE feed_entries ADD COLUMN status_list BIGINT;
ALTER TABLE feed_entries ADD COLUMN status_index BIGINT;

-- A disabled client's sessions are marked too. No refresh writes the column.
CREATE INDEX sessions_by_client ON sessions (client_id);

-- Indices are handed out in blocks; the key turns the count into an order that nobody can guess.
CREATE TABLE status_lists (
    id BIGINT PRIMARY KEY,
    key BYTEA NOT NULL,
    leased BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

UPDATE instance SET schema_version = 2;
