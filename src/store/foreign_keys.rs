//! Public keys of other issuers.

use sqlx::types::Json;

use super::engine::{Tx, all, execute};
use crate::{domain::keys::ForeignKey, error::Result, time::Timestamp};

#[derive(sqlx::FromRow)]
struct ForeignKeyRow {
    kid: String,
    public_jwk: Json<serde_json::Value>,
    created_at: i64,
    expires_at: i64,
}

impl From<ForeignKeyRow> for ForeignKey {
    fn from(row: ForeignKeyRow) -> Self {
        Self {
            kid: row.kid,
            public_jwk: row.public_jwk.0,
            created_at: Timestamp::from_millis(row.created_at),
            expires_at: Timestamp::from_millis(row.expires_at),
        }
    }
}

impl Tx {
    /// Every key of another issuer, in the order they were added.
    pub async fn foreign_keys_all(&mut self) -> Result<Vec<ForeignKey>> {
        const SQL: &str = "SELECT kid, public_jwk, created_at, expires_at FROM foreign_keys ORDER BY created_at, kid";
        Ok(all!(self, ForeignKeyRow, SQL)?.into_iter().map(ForeignKey::from).collect())
    }

    /// Adds a key, or changes when it expires. Returns false if a different key has the same `kid`.
    pub async fn foreign_key_put(&mut self, key: &ForeignKey) -> Result<bool> {
        const SQL: &str = "INSERT INTO foreign_keys (kid, public_jwk, created_at, expires_at) \
            VALUES ($1, $2, $3, $4) ON CONFLICT (kid) DO UPDATE SET expires_at = excluded.expires_at \
            WHERE foreign_keys.public_jwk = excluded.public_jwk";
        let (created_at, expires_at) = (key.created_at.millis(), key.expires_at.millis());
        Ok(execute!(self, SQL, &key.kid, Json(&key.public_jwk), created_at, expires_at)? == 1)
    }

    /// Deletes a key that expires at `by` or earlier. Returns whether it was deleted.
    pub async fn foreign_key_delete(&mut self, kid: &str, by: Timestamp) -> Result<bool> {
        const SQL: &str = "DELETE FROM foreign_keys WHERE kid = $1 AND expires_at <= $2";
        Ok(execute!(self, SQL, kid, by.millis())? == 1)
    }
}
