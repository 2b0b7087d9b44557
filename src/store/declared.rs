//! What files have declared, and the secrets that clients have had from them.

use super::engine::{Tx, all, execute};
use crate::{
    domain::{
        client::ClientId,
        declared::{Declared, DeclaredKind},
    },
    error::Result,
    secret::ClientSecretHash,
    time::Timestamp,
};

/// How many secrets of a client are remembered.
pub const REMEMBERED_SECRETS: i64 = 32;

impl Tx {
    /// Everything that files have declared, sorted by kind and name.
    pub async fn declared_all(&mut self) -> Result<Vec<Declared>> {
        const SQL: &str = "SELECT kind, name, pruned_at FROM declared ORDER BY kind, name";
        let rows = all!(self, (String, String, Option<i64>), SQL)?;
        let known = |(kind, name, pruned_at): (String, String, Option<i64>)| {
            Some(Declared { kind: DeclaredKind::parse(&kind)?, name, pruned: pruned_at.is_some() })
        };
        Ok(rows.into_iter().filter_map(known).collect())
    }

    /// Notes that a file declares something, or that it was pruned.
    pub async fn declared_note(&mut self, what: &Declared, now: Timestamp) -> Result<()> {
        const SQL: &str = "INSERT INTO declared (kind, name, pruned_at, noted_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (kind, name) DO UPDATE SET pruned_at = excluded.pruned_at, noted_at = excluded.noted_at";
        let pruned_at = what.pruned.then_some(now.millis());
        execute!(self, SQL, what.kind.as_str(), &what.name, pruned_at, now.millis()).map(|_| ())
    }

    /// Forgets that something was declared. Returns whether it was noted.
    pub async fn declared_forget(&mut self, kind: DeclaredKind, name: &str) -> Result<bool> {
        const SQL: &str = "DELETE FROM declared WHERE kind = $1 AND name = $2";
        Ok(execute!(self, SQL, kind.as_str(), name)? == 1)
    }

    /// The hashes of the secrets that clients have had from files, by client.
    pub async fn declared_secrets_all(&mut self) -> Result<Vec<(String, Vec<u8>)>> {
        const SQL: &str = "SELECT client_id, secret_hash FROM declared_secrets ORDER BY client_id, noted_at";
        all!(self, (String, Vec<u8>), SQL)
    }

    /// Remembers a secret that a client has from a file, and forgets the oldest of too many. Returns whether it is new.
    pub async fn declared_secret_note(
        &mut self,
        client: &ClientId,
        secret: ClientSecretHash,
        now: Timestamp,
    ) -> Result<bool> {
        const NOTE: &str = "INSERT INTO declared_secrets (client_id, secret_hash, noted_at) VALUES ($1, $2, $3) \
            ON CONFLICT DO NOTHING";
        const FORGET: &str = "DELETE FROM declared_secrets WHERE client_id = $1 AND secret_hash NOT IN \
            (SELECT secret_hash FROM declared_secrets WHERE client_id = $1 \
            ORDER BY noted_at DESC, secret_hash LIMIT $2)";
        let is_new = execute!(self, NOTE, client.as_str(), secret.as_bytes(), now.millis())? == 1;
        if is_new {
            execute!(self, FORGET, client.as_str(), REMEMBERED_SECRETS)?;
        }
        Ok(is_new)
    }

    /// Forgets the secrets of a client. Returns how many there were.
    pub async fn declared_secrets_forget(&mut self, client: &str) -> Result<u64> {
        execute!(self, "DELETE FROM declared_secrets WHERE client_id = $1", client)
    }

    /// Gives a confidential client a secret that it never had: neither its present one, nor the one before, nor any that
    /// it had from a file. The present one stays valid until `until`. Returns whether it was given.
    pub async fn client_take_secret(
        &mut self,
        id: &ClientId,
        secret: ClientSecretHash,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        const SQL: &str = "UPDATE clients SET previous_secret_hash = secret_hash, previous_secret_until = $3, \
            secret_hash = $2, updated_at = $4, revision = revision + 1 \
            WHERE id = $1 AND secret_hash IS NOT NULL AND secret_hash <> $2 \
            AND (previous_secret_hash IS NULL OR previous_secret_hash <> $2) \
            AND NOT EXISTS (SELECT 1 FROM declared_secrets WHERE client_id = $1 AND secret_hash = $2)";
        Ok(execute!(self, SQL, id.as_str(), secret.as_bytes(), until.millis(), now.millis())? == 1)
    }

    /// Gives an audience another owner, or none, if it still has this one. Returns whether it had.
    pub async fn audience_pass(&mut self, name: &str, from: Option<&str>, to: Option<&str>) -> Result<bool> {
        const SQL: &str = "UPDATE audiences SET owner = $3 WHERE name = $1 AND COALESCE(owner, '') = $2";
        Ok(execute!(self, SQL, name, from.unwrap_or_default(), to)? == 1)
    }
}
