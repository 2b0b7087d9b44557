-- Public keys of other issuers, published so that the tokens they signed live out their time.
CREATE TABLE foreign_keys (
    kid TEXT PRIMARY KEY,
    public_jwk TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

UPDATE instance SET schema_version = 9;
