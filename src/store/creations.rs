//! Request ids of creations, so that a repeated request creates nothing twice.

use super::engine::{Tx, execute, optional};
use crate::{error::Result, time::Timestamp};

/// Caller, method and request id.
type Name<'a> = (&'a str, &'a str, &'a str);

impl Tx {
    /// Records that a call creates something. Returns whether it is the first call of this name.
    pub async fn creation_note(
        &mut self,
        (caller, method, request_id): Name<'_>,
        payload: &[u8; 32],
        id: &str,
        now: Timestamp,
    ) -> Result<bool> {
        const SQL: &str = "INSERT INTO creations (caller, method, request_id, payload_hash, created_id, at) \
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        Ok(execute!(self, SQL, caller, method, request_id, payload.as_slice(), id, now.millis())? == 1)
    }

    /// The hash of the request of this name, and the id of what it created.
    pub async fn creation_of(&mut self, (caller, method, request_id): Name<'_>) -> Result<Option<(Vec<u8>, String)>> {
        const SQL: &str = "SELECT payload_hash, created_id FROM creations \
            WHERE caller = $1 AND method = $2 AND request_id = $3";
        optional!(self, (Vec<u8>, String), SQL, caller, method, request_id)
    }

    /// Deletes the records from before this time. Returns their number.
    pub async fn creations_forget(&mut self, before: Timestamp) -> Result<u64> {
        execute!(self, "DELETE FROM creations WHERE at < $1", before.millis())
    }
}
