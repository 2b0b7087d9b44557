//! Counts of failed attempts. One statement adds to all counts of an attempt, one reads them, one clears them. Who
//! decides by a count locks it first, so that no two attempts are allowed by the same count.

use serde::Serialize;
use sqlx::types::Json;

use super::{
    engine::{Sql, Tx, all, execute},
    refresh::Hex,
};
use crate::{
    domain::limit::{LimitKey, Rule, Tally},
    error::Result,
    time::{Timestamp, Ttl},
};

/// How many counts one statement reads or clears: as many as a sign-in has.
const AT_ONCE: usize = 5;

#[derive(sqlx::FromRow)]
struct TallyRow {
    key: Vec<u8>,
    failures: i64,
    level: i64,
    updated_at: i64,
    expires_at: i64,
}

impl From<&TallyRow> for Tally {
    fn from(row: &TallyRow) -> Self {
        Self {
            failures: row.failures,
            level: Ttl::from_millis(row.level),
            failed_at: Timestamp::from_millis(row.updated_at),
            expires_at: Timestamp::from_millis(row.expires_at),
        }
    }
}

/// One element of the JSON array that passes the counts to the statement: key, kind, what a failure adds to the
/// level, and how long a count is kept per failure.
#[derive(Serialize)]
struct Added<'a>(Hex<'a>, &'static str, i64, i64);

/// Adds a failure to the counts. The same computation as [`Rule::failed`].
macro_rules! failed {
    ($greatest:literal, $key:literal, $field:literal, $number:literal, $list:literal) => {
        concat!(
            "INSERT INTO login_failures AS f (key, kind, failures, level, updated_at, expires_at) SELECT ",
            $key,
            ", w ->> 1, 1, ",
            $number,
            "(w ->> 2",
            $field,
            "), $2, $2 + ",
            $number,
            "(w ->> 3",
            $field,
            ") FROM ",
            $list,
            " WHERE true ON CONFLICT (key) DO UPDATE SET \
             failures = CASE WHEN f.expires_at <= excluded.updated_at THEN 1 ELSE f.failures + 1 END, \
             level = excluded.level + ",
            $greatest,
            "(f.level - ",
            $greatest,
            "(excluded.updated_at - f.updated_at, 0), 0), updated_at = excluded.updated_at, \
             expires_at = excluded.updated_at + (excluded.expires_at - excluded.updated_at) \
             * CASE WHEN f.expires_at <= excluded.updated_at THEN 1 ELSE f.failures + 1 END \
             RETURNING key, failures, level, updated_at, expires_at"
        )
    };
}

const FAILED: Sql = Sql {
    sqlite: failed!("max", "unhex(w ->> 0)", "", "", "(SELECT value AS w FROM json_each($1))"),
    postgres: failed!("greatest", "decode(w ->> 0, 'hex')", " AS BIGINT", "CAST", "jsonb_array_elements($1) AS w"),
};

/// Locks the counts, which exist afterwards: those that did not are zero and expired.
macro_rules! locked {
    ($key:literal, $list:literal) => {
        concat!(
            "INSERT INTO login_failures AS f (key, kind, failures, level, updated_at, expires_at) SELECT ",
            $key,
            ", w ->> 1, 0, 0, $2, $2 FROM ",
            $list,
            " WHERE true ON CONFLICT (key) DO UPDATE SET kind = excluded.kind \
             RETURNING key, failures, level, updated_at, expires_at"
        )
    };
}

const LOCKED: Sql = Sql {
    sqlite: locked!("unhex(w ->> 0)", "(SELECT value AS w FROM json_each($1))"),
    postgres: locked!("decode(w ->> 0, 'hex')", "jsonb_array_elements($1) AS w"),
};

/// Pads the keys to the number of placeholders in the statement, by repeating the first.
fn places(keys: &[LimitKey]) -> [&[u8]; AT_ONCE] {
    std::array::from_fn(|n| keys.get(n).or(keys.first()).map_or(&[][..], |key| &key.hash))
}

impl Tx {
    /// Adds a failure to each of these counts. Returns the new counts, in the same order.
    pub async fn login_failures_add(&mut self, counts: &[(LimitKey, Rule)], now: Timestamp) -> Result<Vec<Tally>> {
        let mut in_order: Vec<&(LimitKey, Rule)> = counts.iter().collect();
        // Every transaction locks rows in the same order, so that none deadlock.
        in_order.sort_by_key(|(key, _)| key.hash);
        let added = in_order.iter().map(|(key, rule)| {
            Added(
                Hex(&key.hash),
                key.kind.as_str(),
                rule.level_per_failure().millis(),
                rule.kept_per_failure().millis(),
            )
        });
        let added: Vec<Added<'_>> = added.collect();
        let rows = all!(self, TallyRow, FAILED, Json(&added), now.millis())?;
        let counted = |key: &LimitKey| rows.iter().find(|r| r.key == key.hash).map(Tally::from);
        Ok(counts.iter().filter_map(|(key, _)| counted(key)).collect())
    }

    /// Locks these counts until the end of the transaction, and returns them in the same order; nothing where there
    /// is no count.
    pub async fn login_failures_lock(&mut self, keys: &[LimitKey], now: Timestamp) -> Result<Vec<Option<Tally>>> {
        let mut in_order: Vec<&LimitKey> = keys.iter().collect();
        // Every transaction locks rows in the same order, so that none deadlock.
        in_order.sort_by_key(|key| key.hash);
        let wanted: Vec<_> = in_order.iter().map(|key| (Hex(&key.hash), key.kind.as_str())).collect();
        let rows = all!(self, TallyRow, LOCKED, Json(&wanted), now.millis())?;
        let counted = |row: &&TallyRow| row.failures > 0;
        Ok(keys.iter().map(|k| rows.iter().find(|r| r.key == k.hash).filter(counted).map(Tally::from)).collect())
    }

    /// Replaces a count that is locked.
    pub async fn login_failures_put(&mut self, key: &LimitKey, tally: &Tally) -> Result<()> {
        const SQL: &str = "UPDATE login_failures SET failures = $2, level = $3, updated_at = $4, expires_at = $5 \
            WHERE key = $1";
        let Tally { failures, level, failed_at, expires_at } = tally;
        let (level, failed_at, expires_at) = (level.millis(), failed_at.millis(), expires_at.millis());
        execute!(self, SQL, key.hash.as_slice(), *failures, level, failed_at, expires_at).map(|_| ())
    }

    /// The counts with these keys, in the same order; nothing where there is no count.
    pub async fn login_failures_of(&mut self, keys: &[LimitKey]) -> Result<Vec<Option<Tally>>> {
        const SQL: &str = "SELECT key, failures, level, updated_at, expires_at FROM login_failures \
            WHERE key IN ($1, $2, $3, $4, $5)";
        let mut tallies = Vec::with_capacity(keys.len());
        for some in keys.chunks(AT_ONCE) {
            let [k1, k2, k3, k4, k5] = places(some);
            let rows = all!(self, TallyRow, SQL, k1, k2, k3, k4, k5)?;
            tallies.extend(some.iter().map(|key| rows.iter().find(|r| r.key == key.hash).map(Tally::from)));
        }
        Ok(tallies)
    }

    /// Deletes these counts. Returns how many there were.
    pub async fn login_failures_clear(&mut self, keys: &[LimitKey]) -> Result<u64> {
        const SQL: &str = "DELETE FROM login_failures WHERE key IN ($1, $2, $3, $4, $5)";
        let mut cleared = 0;
        for some in keys.chunks(AT_ONCE) {
            let [k1, k2, k3, k4, k5] = places(some);
            cleared += execute!(self, SQL, k1, k2, k3, k4, k5)?;
        }
        Ok(cleared)
    }

    /// Deletes at most `limit` counts that expired before this time. Returns their number.
    pub async fn login_failures_sweep(&mut self, before: Timestamp, limit: i64) -> Result<u64> {
        const SQL: &str = "DELETE FROM login_failures WHERE key IN \
            (SELECT key FROM login_failures WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
        execute!(self, SQL, before.millis(), limit)
    }
}
