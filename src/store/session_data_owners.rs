//! The data of sessions and users when these are replaced or deleted.

use sqlx::types::Json;

use super::{
    engine::{Sql, Tx, all, execute},
    session_data::data_value,
    sessions::dead,
};
use crate::{
    domain::session_data::StoredData,
    error::Result,
    id::{SessionId, UserId},
    time::Timestamp,
};

/// The owners of what ends with these sessions, if they are dead: the sessions themselves and, for guests', what was to
/// be the user's. An account that a guest has become keeps it.
macro_rules! doomed {
    ($ids:literal) => {
        concat!(
            "SELECT id FROM sessions WHERE id IN (",
            $ids,
            ") AND ",
            dead!("$2"),
            " UNION ALL SELECT subject || '/' || client_id FROM sessions WHERE user_id IS NULL AND id IN (",
            $ids,
            ") AND ",
            dead!("$2"),
            " AND NOT EXISTS (SELECT 1 FROM users WHERE users.id = sessions.subject)"
        )
    };
}

/// Some of what has ended, or all that is known of its owners.
const SWEEP: Sql = Sql {
    sqlite: concat!(
        "DELETE FROM session_data WHERE (owner, namespace) IN (SELECT owner, namespace FROM session_data WHERE owner IN (",
        doomed!("SELECT value FROM json_each($1)"),
        ") LIMIT $3)"
    ),
    postgres: concat!(
        "DELETE FROM session_data WHERE (owner, namespace) IN (SELECT owner, namespace FROM session_data WHERE owner IN (",
        doomed!("SELECT jsonb_array_elements_text($1)"),
        ") LIMIT $3)"
    ),
};
const SWEEP_OWNERS: Sql = Sql {
    sqlite: concat!(
        "DELETE FROM session_data_owners WHERE owner IN (",
        doomed!("SELECT value FROM json_each($1)"),
        ")"
    ),
    postgres: concat!(
        "DELETE FROM session_data_owners WHERE owner IN (",
        doomed!("SELECT jsonb_array_elements_text($1)"),
        ")"
    ),
};

/// A value that somebody has stored about a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedData {
    /// The session, or the user and the client: `usr_…/shop`.
    pub owner: String,
    /// The name.
    pub namespace: String,
    /// What is stored.
    pub stored: StoredData,
}

#[derive(sqlx::FromRow)]
struct OwnedRow {
    owner: String,
    namespace: String,
    value: Vec<u8>,
    version: i64,
    updated_at: i64,
    /// How many there are.
    number: i64,
}

/// Where the owners with a user's id begin and end: a slash follows the id, and `0` follows the slash.
fn owners_of(user: &UserId) -> (String, String) {
    (format!("{user}/"), format!("{user}0"))
}

impl Tx {
    /// Moves what a session has to the one that replaces it. The old one must be held, and nobody must know the new one.
    /// Returns how many values it had.
    pub async fn session_data_move(&mut self, from: &SessionId, to: &SessionId) -> Result<u64> {
        const OWNER: &str = "UPDATE session_data_owners SET owner = $2 WHERE owner = $1";
        const VALUES: &str = "UPDATE session_data SET owner = $2 WHERE owner = $1";
        execute!(self, OWNER, from.as_str(), to.as_str())?;
        execute!(self, VALUES, from.as_str(), to.as_str())
    }

    /// Deletes at most `limit` values that end with these sessions, those that died before `dead_before`. Returns whether
    /// none is left.
    pub async fn session_data_sweep(
        &mut self,
        sessions: &[SessionId],
        dead_before: Timestamp,
        limit: i64,
    ) -> Result<bool> {
        let deleted = execute!(self, SWEEP, Json(sessions), dead_before.millis(), limit)?;
        if deleted >= limit.unsigned_abs() {
            return Ok(false);
        }
        execute!(self, SWEEP_OWNERS, Json(sessions), dead_before.millis())?;
        Ok(true)
    }

    /// Deletes what is kept for a user and with the user's sessions. These must be held, or have ended.
    pub(super) async fn session_data_of_user_delete(&mut self, user: &UserId) -> Result<()> {
        let (from, to) = owners_of(user);
        for sql in [
            "DELETE FROM session_data WHERE owner > $1 AND owner < $2 \
             OR owner IN (SELECT id FROM sessions WHERE user_id = $3)",
            "DELETE FROM session_data_owners WHERE owner > $1 AND owner < $2 \
             OR owner IN (SELECT id FROM sessions WHERE user_id = $3)",
        ] {
            execute!(self, sql, &from, &to, user.as_str())?;
        }
        Ok(())
    }

    /// The values that are kept for a user and, after them, those with the user's sessions, the newest first: at most so
    /// many, and of so many bytes together. Returns whether these are all.
    pub async fn session_data_of_user(
        &mut self,
        user: &UserId,
        (values, bytes): (i64, i64),
    ) -> Result<(Vec<OwnedData>, bool)> {
        // Backwards, `usr_` is before `ses_`. Sizes are summed up without reading the values.
        const SQL: &str = "WITH sized AS (SELECT owner, namespace, \
            SUM(length(value)) OVER (ORDER BY owner DESC, namespace) AS total, COUNT(*) OVER () AS number \
            FROM session_data \
            WHERE owner > $1 AND owner < $2 OR owner IN (SELECT id FROM sessions WHERE user_id = $3)), \
            kept AS (SELECT owner, namespace, number FROM sized WHERE total <= $5 \
            ORDER BY owner DESC, namespace LIMIT $4) \
            SELECT d.owner, d.namespace, d.value, d.version, d.updated_at, k.number \
            FROM kept AS k JOIN session_data AS d ON d.owner = k.owner AND d.namespace = k.namespace \
            ORDER BY d.owner DESC, d.namespace";
        let (from, to) = owners_of(user);
        let rows = all!(self, OwnedRow, SQL, &from, &to, user.as_str(), values, bytes)?;
        let all = rows.first().is_none_or(|row| usize::try_from(row.number).is_ok_and(|number| number == rows.len()));
        let read = |row: OwnedRow| {
            let updated_at = Timestamp::from_millis(row.updated_at);
            let stored = StoredData { value: data_value(row.value, &row.owner)?, version: row.version, updated_at };
            Ok(OwnedData { owner: row.owner, namespace: row.namespace, stored })
        };
        let read: Result<Vec<OwnedData>> = rows.into_iter().map(read).collect();
        Ok((read?, all))
    }
}
