//! Signing keys. Every change of state is a compare-and-swap.

use sqlx::types::Json;

use super::{
    engine::{Tx, all, execute},
    failure::corrupt,
};
use crate::{
    domain::keys::{KeyState, StoredKey},
    error::{Error, Result},
    id::KeyId,
    time::Timestamp,
};

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    kid: String,
    alg: String,
    state: String,
    public_jwk: Json<serde_json::Value>,
    sealed: Vec<u8>,
    sealing_version: i64,
    created_at: i64,
    activated_at: Option<i64>,
    retired_at: Option<i64>,
    rotate_at: Option<i64>,
}

impl TryFrom<KeyRow> for StoredKey {
    type Error = Error;
    fn try_from(row: KeyRow) -> Result<Self> {
        let bad = |column| corrupt("signing_keys", column, &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| bad("id"))?,
            algorithm: row.alg.parse().map_err(|_| bad("alg"))?,
            state: row.state.parse().map_err(|_| bad("state"))?,
            kid: row.kid,
            public_jwk: row.public_jwk.0,
            sealed: row.sealed,
            sealing_version: row.sealing_version,
            created_at: Timestamp::from_millis(row.created_at),
            activated_at: row.activated_at.map(Timestamp::from_millis),
            retired_at: row.retired_at.map(Timestamp::from_millis),
            rotate_at: row.rotate_at.map(Timestamp::from_millis),
        })
    }
}

impl Tx {
    /// Every key, in order of creation.
    pub async fn keys_all(&mut self) -> Result<Vec<StoredKey>> {
        const SQL: &str = "SELECT id, kid, alg, state, public_jwk, sealed, sealing_version, created_at, activated_at, \
            retired_at, rotate_at FROM signing_keys ORDER BY created_at, id";
        all!(self, KeyRow, SQL)?.into_iter().map(StoredKey::try_from).collect()
    }

    /// Adds a key. Returns false if another key of the algorithm is already in this state.
    pub async fn key_insert(&mut self, key: &StoredKey) -> Result<bool> {
        const SQL: &str = "INSERT INTO signing_keys (id, kid, alg, state, public_jwk, sealed, sealing_version, \
            created_at, activated_at, retired_at, rotate_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
            ON CONFLICT DO NOTHING";
        let added = execute!(
            self,
            SQL,
            key.id.as_str(),
            &key.kid,
            key.algorithm.as_str(),
            key.state.as_str(),
            Json(&key.public_jwk),
            &key.sealed,
            key.sealing_version,
            key.created_at.millis(),
            key.activated_at.map(Timestamp::millis),
            key.retired_at.map(Timestamp::millis),
            key.rotate_at.map(Timestamp::millis)
        )?;
        Ok(added == 1)
    }

    /// Retires an active key. Returns whether it was active.
    pub async fn key_retire(&mut self, id: &KeyId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE signing_keys SET state = 'retired', retired_at = $2, rotate_at = NULL \
            WHERE id = $1 AND state = 'active'";
        Ok(execute!(self, SQL, id.as_str(), now.millis())? == 1)
    }

    /// Activates a `next` key. Returns whether it was `next`.
    pub async fn key_activate(&mut self, id: &KeyId, now: Timestamp, rotate_at: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE signing_keys SET state = 'active', activated_at = $2, rotate_at = $3 \
            WHERE id = $1 AND state = 'next'";
        Ok(execute!(self, SQL, id.as_str(), now.millis(), rotate_at.millis())? == 1)
    }

    /// Brings the rotation of an active key forward. Returns whether it was active and due later.
    pub async fn key_rotate_at(&mut self, id: &KeyId, at: Timestamp) -> Result<bool> {
        const SQL: &str =
            "UPDATE signing_keys SET rotate_at = $2 WHERE id = $1 AND state = 'active' AND rotate_at > $2";
        Ok(execute!(self, SQL, id.as_str(), at.millis())? == 1)
    }

    /// Deletes every key. Returns their number.
    pub async fn keys_delete_all(&mut self) -> Result<u64> {
        execute!(self, "DELETE FROM signing_keys")
    }

    /// Deletes a key if it is in this state. Returns whether it was.
    pub async fn key_delete(&mut self, id: &KeyId, state: KeyState) -> Result<bool> {
        const SQL: &str = "DELETE FROM signing_keys WHERE id = $1 AND state = $2";
        Ok(execute!(self, SQL, id.as_str(), state.as_str())? == 1)
    }
}
