//! The versions of the sealing key: check values, by which they are recognised, and what depends on each. The keys
//! themselves are never here.

use super::engine::{Tx, all, execute, optional};
use crate::{
    domain::sealing::{Dependents, SealedRows, SealedTable, SealingVersion, Switched},
    error::Result,
    id::SessionId,
    store::failure::corrupt,
    time::Timestamp,
};

#[derive(sqlx::FromRow)]
struct VersionRow {
    version: i64,
    check_value: Vec<u8>,
    created_at: i64,
    used_from: Option<i64>,
    used_until: Option<i64>,
    dropped_at: Option<i64>,
}

impl From<VersionRow> for SealingVersion {
    fn from(row: VersionRow) -> Self {
        Self {
            version: row.version,
            check_value: row.check_value,
            created_at: Timestamp::from_millis(row.created_at),
            used_from: row.used_from.map(Timestamp::from_millis),
            used_until: row.used_until.map(Timestamp::from_millis),
            dropped_at: row.dropped_at.map(Timestamp::from_millis),
        }
    }
}

/// What a row has sealed.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SealedRow {
    /// Its id.
    pub id: String,
    /// What it is sealed for, as far as another column says it: the kind of a mail.
    pub kind: String,
    /// The recipient of a mail.
    pub recipient: String,
    /// What is sealed.
    pub sealed: Vec<u8>,
    /// The version of the sealing key.
    pub sealing_version: i64,
}

/// The condition on a session that can be used at $1, and that holds a text made from $2 until $3: the cookie of a session in a
/// browser never changes, and a refresh token does with each refresh.
macro_rules! depends {
    () => {
        "revoked_at IS NULL AND idle_expires_at > $1 AND absolute_expires_at > $1 AND created_at < $3 \
         AND CASE WHEN kind = 'token' THEN rotated_at >= $2 AND rotated_at < $3 ELSE created_at >= $2 END"
    };
}

impl Tx {
    /// Every version, in order.
    pub async fn sealing_keys(&mut self) -> Result<Vec<SealingVersion>> {
        const SQL: &str = "SELECT version, check_value, created_at, used_from, used_until, dropped_at \
            FROM sealing_keys ORDER BY version";
        Ok(all!(self, VersionRow, SQL)?.into_iter().map(SealingVersion::from).collect())
    }

    /// Stores the check value of a new version. Returns false if there is this version already, or this key.
    pub async fn sealing_key_add(&mut self, version: i64, check_value: &[u8], now: Timestamp) -> Result<bool> {
        const SQL: &str = "INSERT INTO sealing_keys (version, check_value, created_at) VALUES ($1, $2, $3) \
            ON CONFLICT DO NOTHING";
        Ok(execute!(self, SQL, version, check_value, now.millis())? == 1)
    }

    /// Notes that a version came into use.
    pub(super) async fn sealing_key_used(&mut self, version: i64, now: Timestamp) -> Result<()> {
        const SQL: &str = "UPDATE sealing_keys SET used_from = $2 WHERE version = $1";
        execute!(self, SQL, version, now.millis()).map(|_| ())
    }

    /// Lets one transaction at a time change which version is in use, and which were dropped. The two are rows of different tables:
    /// each of two statements at once would see the other's row as it was before, and a version could come into use as it is
    /// dropped. On PostgreSQL a statement sees what was committed before it began, so the lock is a statement of its own.
    async fn sealing_keys_hold(&mut self) -> Result<()> {
        execute!(self, "UPDATE instance SET sealing_version = sealing_version WHERE id = 1").map(|_| ())
    }

    /// Brings version `to` with this key into use in place of `from`. Binaries that do not know versions cannot start from now on.
    pub async fn sealing_key_switch(
        &mut self,
        from: i64,
        (to, check_value): (i64, &[u8]),
        min_binary: i64,
        now: Timestamp,
    ) -> Result<Switched> {
        const SWITCH: &str = "UPDATE instance SET sealing_version = $2, \
            min_binary = CASE WHEN min_binary < $3 THEN $3 ELSE min_binary END WHERE id = 1 AND sealing_version = $1 \
            AND EXISTS (SELECT 1 FROM sealing_keys WHERE version = $2 AND check_value = $4 AND dropped_at IS NULL)";
        const OTHER: &str = "SELECT version FROM sealing_keys WHERE version = $1 AND check_value <> $2";
        const UNTIL: &str = "UPDATE sealing_keys SET used_until = $2 WHERE version = $1";
        self.sealing_keys_hold().await?;
        if execute!(self, SWITCH, from, to, min_binary, check_value)? == 0 {
            let other = optional!(self, (i64,), OTHER, to, check_value)?;
            return Ok(if other.is_some() { Switched::OtherKey } else { Switched::Lost });
        }
        execute!(self, UNTIL, from, now.millis())?;
        self.sealing_key_used(to, now).await?;
        Ok(Switched::Done)
    }

    /// Drops a version that is not in use. Returns whether this call did it.
    pub async fn sealing_key_drop(&mut self, version: i64, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE sealing_keys SET dropped_at = $2 WHERE version = $1 AND dropped_at IS NULL \
            AND version NOT IN (SELECT sealing_version FROM instance)";
        self.sealing_keys_hold().await?;
        Ok(execute!(self, SQL, version, now.millis())? == 1)
    }

    /// Forgets a version of this key that was never used: another key may have its number then. Returns whether this call did it.
    pub async fn sealing_key_forget(&mut self, version: i64, check_value: &[u8]) -> Result<bool> {
        const SQL: &str = "DELETE FROM sealing_keys WHERE version = $1 AND check_value = $2 AND used_from IS NULL \
            AND version NOT IN (SELECT sealing_version FROM instance)";
        self.sealing_keys_hold().await?;
        Ok(execute!(self, SQL, version, check_value)? == 1)
    }

    /// At most `limit` rows of a table after `after`, by id, that are sealed under an older version than `version`.
    pub async fn sealed_before(
        &mut self,
        table: SealedTable,
        (version, after): (i64, &str),
        limit: i64,
    ) -> Result<Vec<SealedRow>> {
        const KEYS: &str = "SELECT id, '' AS kind, '' AS recipient, sealed, sealing_version FROM signing_keys \
            WHERE id > $2 AND sealing_version < $1 ORDER BY id LIMIT $3";
        const TOTP: &str = "SELECT id, '' AS kind, '' AS recipient, secret AS sealed, sealing_version FROM totp_factors \
            WHERE id > $2 AND sealing_version < $1 ORDER BY id LIMIT $3";
        const MAILS: &str = "SELECT id, kind, recipient, params AS sealed, sealing_version FROM mails \
            WHERE id > $2 AND sealing_version < $1 ORDER BY id LIMIT $3";
        let sql = match table {
            SealedTable::SigningKeys => KEYS,
            SealedTable::TotpFactors => TOTP,
            SealedTable::Mails => MAILS,
        };
        all!(self, SealedRow, sql, version, after, limit)
    }

    /// Replaces what a row has sealed under a version. Returns whether it was still sealed under that.
    pub async fn reseal(
        &mut self,
        table: SealedTable,
        (id, old): (&str, i64),
        (sealed, new): (&[u8], i64),
    ) -> Result<bool> {
        const KEYS: &str =
            "UPDATE signing_keys SET sealed = $3, sealing_version = $4 WHERE id = $1 AND sealing_version = $2";
        const TOTP: &str =
            "UPDATE totp_factors SET secret = $3, sealing_version = $4 WHERE id = $1 AND sealing_version = $2";
        const MAILS: &str = "UPDATE mails SET params = $3, sealing_version = $4 WHERE id = $1 AND sealing_version = $2";
        let sql = match table {
            SealedTable::SigningKeys => KEYS,
            SealedTable::TotpFactors => TOTP,
            SealedTable::Mails => MAILS,
        };
        Ok(execute!(self, sql, id, old, sealed, new)? == 1)
    }

    /// How many rows are sealed under a version.
    pub async fn sealed_rows(&mut self, version: i64) -> Result<SealedRows> {
        const SQL: &str = "SELECT (SELECT count(*) FROM signing_keys WHERE sealing_version = $1), \
            (SELECT count(*) FROM totp_factors WHERE sealing_version = $1), \
            (SELECT count(*) FROM mails WHERE sealing_version = $1)";
        let counts = optional!(self, (i64, i64, i64), SQL, version)?.unwrap_or_default();
        let (signing_keys, apps, mails) = counts;
        Ok(SealedRows { signing_keys, apps, mails })
    }

    /// What depends on a version that may have been used from `from` until `until`.
    pub async fn sealing_dependents(
        &mut self,
        version: i64,
        (from, until): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Result<Dependents> {
        const TICKETS: &str = "SELECT count(*), max(expires_at) FROM tickets WHERE sealing_version = $1 \
            AND used_at IS NULL AND expires_at > $2";
        const LIVE: &str = "SELECT max(absolute_expires_at) FROM sessions WHERE revoked_at IS NULL \
            AND idle_expires_at > $1 AND absolute_expires_at > $1 AND created_at < $3 \
            AND CASE WHEN kind = 'token' THEN rotated_at ELSE created_at END >= $2";
        const SESSIONS: &str = concat!("SELECT count(*) FROM sessions WHERE ", depends!());
        let (now, from, until) = (now.millis(), from.millis(), until.millis());
        let rows = self.sealed_rows(version).await?;
        let (tickets, tickets_end) = optional!(self, (i64, Option<i64>), TICKETS, version, now)?.unwrap_or_default();
        let sessions_end = optional!(self, (Option<i64>,), LIVE, now, from, until)?.and_then(|(end,)| end);
        let sessions = optional!(self, (i64,), SESSIONS, now, from, until)?.map_or(0, |(count,)| count);
        let time = |end: Option<i64>| end.map(Timestamp::from_millis);
        Ok(Dependents { rows, tickets, tickets_end: time(tickets_end), sessions, sessions_end: time(sessions_end) })
    }

    /// At most `limit` sessions after `after`, by id, whose refresh token or cookie was made from `from` until `until`, and which
    /// can be used at `now`.
    pub async fn sessions_made_between(
        &mut self,
        after: Option<&SessionId>,
        (from, until): (Timestamp, Timestamp),
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<SessionId>> {
        const SQL: &str = concat!("SELECT id FROM sessions WHERE ", depends!(), " AND id > $4 ORDER BY id LIMIT $5");
        let after = after.map_or("", SessionId::as_str);
        let rows = all!(self, (String,), SQL, now.millis(), from.millis(), until.millis(), after, limit)?;
        rows.into_iter().map(|(id,)| id.parse().map_err(|_| corrupt("sessions", "id", &id))).collect()
    }

    /// Uses up every ticket of a version. Returns their number.
    pub async fn tickets_void_version(&mut self, version: i64, now: Timestamp) -> Result<u64> {
        const SQL: &str = "UPDATE tickets SET used_at = $2 WHERE sealing_version = $1 AND used_at IS NULL";
        execute!(self, SQL, version, now.millis())
    }
}
