//! Status lists. Indices are leased in blocks.

use std::fmt;

use sqlx::types::Json;

use super::engine::{Sql, Tx, all, optional};
use crate::{
    domain::{
        client::ClientId,
        status_list::{ENTRIES, StatusIndex},
    },
    error::{Error, Result},
    time::Timestamp,
};

/// A block of counts in one list, leased to one process for good.
#[derive(Clone, PartialEq, Eq)]
pub struct Lease {
    /// The list.
    pub list: i64,
    /// The key that maps counts to indices.
    pub key: Vec<u8>,
    /// The first count.
    pub from: u32,
    /// One more than the last count.
    pub to: u32,
}

impl fmt::Debug for Lease {
    /// Omits the key, which tells the sessions' places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { list, key: _, from, to } = self;
        f.debug_struct("Lease").field("list", list).field("from", from).field("to", to).finish_non_exhaustive()
    }
}

/// An index holds all three columns, so that no session is read.
const OF_CLIENTS: Sql = Sql {
    sqlite: "SELECT status_index FROM sessions WHERE client_id IN (SELECT value FROM json_each($1)) \
        AND status_list = $2 AND status_index IS NOT NULL",
    postgres: "SELECT status_index FROM sessions \
        WHERE client_id IN (SELECT jsonb_array_elements_text($1)) AND status_list = $2 AND status_index IS NOT NULL",
};

impl Tx {
    /// Leases a block of `size` counts in the newest list. If it does not fit, starts a new list with this key.
    pub async fn status_list_lease(&mut self, size: u32, key: &[u8], now: Timestamp) -> Result<Lease> {
        const TAKE: &str = "UPDATE status_lists SET leased = leased + $1 \
            WHERE id = (SELECT max(id) FROM status_lists) AND leased + $1 <= $2 RETURNING id, key, leased";
        const BEGIN: &str = "INSERT INTO status_lists (id, key, leased, created_at) \
            SELECT coalesce(max(id), 0) + 1, $2, $1, $3 FROM status_lists WHERE true \
            HAVING NOT EXISTS (SELECT 1 FROM status_lists AS newest \
            WHERE newest.id = (SELECT max(id) FROM status_lists) AND newest.leased + $1 <= $4) ON CONFLICT DO NOTHING RETURNING id, key, leased";
        let most = i64::from(ENTRIES);
        let row = optional!(self, (i64, Vec<u8>, i64), TAKE, i64::from(size), most)?;
        let row = match row {
            Some(row) => Some(row),
            None => optional!(self, (i64, Vec<u8>, i64), BEGIN, i64::from(size), key, now.millis(), most)?,
        };
        // Another process started the list at the same time.
        let (list, key, leased) = row.ok_or(Error::Conflict)?;
        let to = u32::try_from(leased).unwrap_or(ENTRIES);
        Ok(Lease { list, key, from: to.saturating_sub(size), to })
    }

    /// The numbers of all lists.
    pub async fn status_lists_all(&mut self) -> Result<Vec<i64>> {
        let rows = all!(self, (i64,), "SELECT id FROM status_lists ORDER BY id")?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// The indices in one list of these clients' sessions, ended ones included.
    pub async fn status_of_clients(&mut self, clients: &[ClientId], list: i64) -> Result<Vec<StatusIndex>> {
        let ids: Vec<&str> = clients.iter().map(ClientId::as_str).collect();
        let rows = all!(self, (i64,), OF_CLIENTS, Json(ids), list)?;
        Ok(rows.into_iter().filter_map(|(index,)| StatusIndex::from_columns(Some(list), Some(index))).collect())
    }
}
