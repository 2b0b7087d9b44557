-- Public keys of other issuers, published so that the tokens they signed live out their time.
CREATE TABLE foreign_keys (
    kid TEXT COLLATE "C" PRIMARY KEY,
    public_jwk JSONB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

UPDATE instance SET schema_version = 9;
