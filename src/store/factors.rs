//! Second factors and recovery codes. Each code counts once, which a conditional statement decides.

use super::{
    engine::{Tx, all, execute, optional},
    failure::corrupt,
};
use crate::{
    domain::factor::{Factor, FactorKind},
    error::Result,
    id::{FactorId, UserId},
    secret::RecoveryCodeHash,
    time::Timestamp,
};

/// An app that shows codes, as it is stored.
#[derive(Debug)]
pub struct StoredTotp {
    /// The factor.
    pub factor: Factor,
    /// The sealed secret.
    pub sealed: Vec<u8>,
    /// The version of the sealing key.
    pub sealing_version: i64,
    /// The step of the last code that was accepted.
    pub last_step: i64,
}

#[derive(sqlx::FromRow)]
struct FactorRow {
    id: String,
    kind: String,
    name: String,
    created_at: i64,
    last_used_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct TotpRow {
    id: String,
    name: String,
    secret: Vec<u8>,
    sealing_version: i64,
    last_step: i64,
    created_at: i64,
    last_used_at: Option<i64>,
}

impl TryFrom<FactorRow> for Factor {
    type Error = crate::error::Error;
    fn try_from(row: FactorRow) -> Result<Self> {
        Ok(Self {
            id: row.id.parse().map_err(|_| corrupt("factors", "id", &row.id))?,
            kind: if row.kind == "totp" { FactorKind::Totp } else { FactorKind::Passkey },
            name: row.name,
            created_at: Timestamp::from_millis(row.created_at),
            last_used_at: row.last_used_at.map(Timestamp::from_millis),
        })
    }
}

impl TryFrom<TotpRow> for StoredTotp {
    type Error = crate::error::Error;
    fn try_from(row: TotpRow) -> Result<Self> {
        Ok(Self {
            sealed: row.secret,
            sealing_version: row.sealing_version,
            last_step: row.last_step,
            factor: Factor {
                id: row.id.parse().map_err(|_| corrupt("totp_factors", "id", &row.id))?,
                kind: FactorKind::Totp,
                name: row.name,
                created_at: Timestamp::from_millis(row.created_at),
                last_used_at: row.last_used_at.map(Timestamp::from_millis),
            },
        })
    }
}

impl Tx {
    /// The second factors of a user, the oldest first.
    pub async fn factors_of(&mut self, user: &UserId) -> Result<Vec<Factor>> {
        const SQL: &str = "SELECT id, 'totp' AS kind, name, created_at, last_used_at FROM totp_factors \
            WHERE user_id = $1 UNION ALL SELECT id, 'passkey' AS kind, name, created_at, last_used_at FROM passkeys \
            WHERE user_id = $1 ORDER BY created_at, id";
        all!(self, FactorRow, SQL, user.as_str())?.into_iter().map(Factor::try_from).collect()
    }

    /// Counts the second factors of a user whose row is held, and keeps the number in that row. Returns it.
    pub async fn factors_count(&mut self, user: &UserId) -> Result<i64> {
        const SQL: &str = "UPDATE users SET second_factors = (SELECT count(*) FROM totp_factors WHERE user_id = $1) \
            + (SELECT count(*) FROM passkeys WHERE user_id = $1) WHERE id = $1 RETURNING second_factors";
        let row = optional!(self, (i64,), SQL, user.as_str())?;
        Ok(row.map_or(0, |(count,)| count))
    }

    /// Removes a second factor of a user whose row is held. Returns what it was, if there was one.
    pub async fn factor_delete(&mut self, user: &UserId, id: &FactorId) -> Result<Option<FactorKind>> {
        const TOTP: &str = "DELETE FROM totp_factors WHERE id = $1 AND user_id = $2";
        const PASSKEY: &str = "DELETE FROM passkeys WHERE id = $1 AND user_id = $2";
        if execute!(self, TOTP, id.as_str(), user.as_str())? == 1 {
            return Ok(Some(FactorKind::Totp));
        }
        let gone = execute!(self, PASSKEY, id.as_str(), user.as_str())? == 1;
        Ok(gone.then_some(FactorKind::Passkey))
    }

    /// Removes every second factor of a user whose row is held, and the recovery codes. Returns how many factors there
    /// were.
    pub async fn factors_delete(&mut self, user: &UserId) -> Result<u64> {
        let apps = execute!(self, "DELETE FROM totp_factors WHERE user_id = $1", user.as_str())?;
        let passkeys = execute!(self, "DELETE FROM passkeys WHERE user_id = $1", user.as_str())?;
        execute!(self, "DELETE FROM recovery_codes WHERE user_id = $1", user.as_str())?;
        Ok(apps + passkeys)
    }

    /// Adds an app.
    pub async fn totp_insert(&mut self, user: &UserId, totp: &StoredTotp) -> Result<()> {
        const SQL: &str = "INSERT INTO totp_factors (id, user_id, name, secret, sealing_version, last_step, created_at, \
            last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let Factor { id, name, created_at, last_used_at, .. } = &totp.factor;
        let (version, step) = (totp.sealing_version, totp.last_step);
        let last_used = last_used_at.map(Timestamp::millis);
        let sealed = totp.sealed.as_slice();
        execute!(self, SQL, id.as_str(), user.as_str(), name, sealed, version, step, created_at.millis(), last_used)
            .map(|_| ())
    }

    /// The apps of a user, the oldest first.
    pub async fn totp_of(&mut self, user: &UserId) -> Result<Vec<StoredTotp>> {
        const SQL: &str = "SELECT id, name, secret, sealing_version, last_step, created_at, last_used_at \
            FROM totp_factors WHERE user_id = $1 ORDER BY created_at, id";
        all!(self, TotpRow, SQL, user.as_str())?.into_iter().map(StoredTotp::try_from).collect()
    }

    /// Accepts the code of a step. Returns whether it counts: no code of this step or a later one was accepted before.
    pub async fn totp_use(&mut self, id: &FactorId, step: i64, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE totp_factors SET last_step = $2, last_used_at = $3 WHERE id = $1 AND last_step < $2";
        Ok(execute!(self, SQL, id.as_str(), step, now.millis())? == 1)
    }

    /// Gives a user new recovery codes in place of the old ones.
    pub async fn recovery_codes_replace(
        &mut self,
        user: &UserId,
        hashes: &[RecoveryCodeHash],
        now: Timestamp,
    ) -> Result<()> {
        const DELETE: &str = "DELETE FROM recovery_codes WHERE user_id = $1";
        const INSERT: &str = "INSERT INTO recovery_codes (user_id, hash, created_at) VALUES ($1, $2, $3)";
        execute!(self, DELETE, user.as_str())?;
        for hash in hashes {
            execute!(self, INSERT, user.as_str(), hash.as_bytes(), now.millis())?;
        }
        Ok(())
    }

    /// Uses a recovery code up. Returns whether the user had it.
    pub async fn recovery_code_use(&mut self, user: &UserId, hash: &RecoveryCodeHash) -> Result<bool> {
        const SQL: &str = "DELETE FROM recovery_codes WHERE user_id = $1 AND hash = $2";
        Ok(execute!(self, SQL, user.as_str(), hash.as_bytes())? == 1)
    }

    /// The hashes of the recovery codes that a user has left.
    pub async fn recovery_code_hashes(&mut self, user: &UserId) -> Result<Vec<RecoveryCodeHash>> {
        let rows = all!(self, (Vec<u8>,), "SELECT hash FROM recovery_codes WHERE user_id = $1", user.as_str())?;
        let hash = |(hash,): (Vec<u8>,)| hash.try_into().map_err(|_| corrupt("recovery_codes", "hash", user.as_str()));
        rows.into_iter().map(hash).collect()
    }

    /// How many recovery codes a user has left.
    pub async fn recovery_codes_left(&mut self, user: &UserId) -> Result<i64> {
        let sql = "SELECT count(*) FROM recovery_codes WHERE user_id = $1";
        Ok(optional!(self, (i64,), sql, user.as_str())?.map_or(0, |(count,)| count))
    }
}
