//! What a used ticket has led to, for whoever submits the same again.

use super::{
    engine::{Tx, execute, optional},
    tickets::{TicketRow, columns, valid},
};
use crate::{domain::ticket::Ticket, error::Result, id::TicketId, time::Timestamp};

/// A ticket, valid or not.
#[derive(Debug)]
pub struct SeenTicket {
    /// The ticket.
    pub ticket: Ticket,
    /// When it was used or made void.
    pub used_at: Option<Timestamp>,
    /// What was kept with it then.
    pub result: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct SeenRow {
    #[sqlx(flatten)]
    ticket: TicketRow,
    used_at: Option<i64>,
    result: Option<Vec<u8>>,
}

impl Tx {
    /// Marks a ticket as used, and keeps with it what it was used for. Returns whether this call did it.
    pub async fn ticket_use_for(&mut self, id: &TicketId, now: Timestamp, result: &[u8]) -> Result<bool> {
        const SQL: &str = concat!("UPDATE tickets SET used_at = $2, result = $3 WHERE ", valid!());
        Ok(execute!(self, SQL, id.as_str(), now.millis(), result)? == 1)
    }

    /// A ticket for as long as it is stored, even if it was used or has expired.
    pub async fn ticket_seen(&mut self, id: &TicketId) -> Result<Option<SeenTicket>> {
        const SQL: &str = concat!("SELECT ", columns!(), ", used_at, result FROM tickets WHERE id = $1");
        let Some(row) = optional!(self, SeenRow, SQL, id.as_str())? else { return Ok(None) };
        Ok(Some(SeenTicket {
            ticket: row.ticket.try_into()?,
            used_at: row.used_at.map(Timestamp::from_millis),
            result: row.result,
        }))
    }
}
