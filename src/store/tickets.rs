//! Tickets. Each can be used once, which a conditional update ensures.

use super::{
    engine::{Tx, execute, optional},
    failure::corrupt,
};
use crate::{
    domain::{
        client::ClientId,
        ticket::{Ticket, TicketKind},
    },
    error::{Error, Result},
    id::{TicketId, UserId},
    time::Timestamp,
};

#[derive(sqlx::FromRow)]
struct TicketRow {
    id: String,
    kind: String,
    client_id: String,
    user_id: Option<String>,
    security_version: i64,
    secret_hash: Vec<u8>,
    code_hash: Vec<u8>,
    attempts_left: i64,
    sealed: Vec<u8>,
    sealing_version: i64,
    created_at: i64,
    expires_at: i64,
}

impl TryFrom<TicketRow> for Ticket {
    type Error = Error;
    fn try_from(row: TicketRow) -> Result<Self> {
        let bad = |column| corrupt("tickets", column, &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| bad("id"))?,
            kind: TicketKind::parse(&row.kind).ok_or_else(|| bad("kind"))?,
            user: row.user_id.as_deref().map(str::parse).transpose().map_err(|_| bad("user_id"))?,
            secret: row.secret_hash.try_into().map_err(|_| corrupt("tickets", "secret_hash", &row.id))?,
            code: row.code_hash.try_into().map_err(|_| corrupt("tickets", "code_hash", &row.id))?,
            client: ClientId::from_database(row.client_id),
            security_version: row.security_version,
            attempts_left: row.attempts_left,
            sealed: row.sealed,
            sealing_version: row.sealing_version,
            created_at: Timestamp::from_millis(row.created_at),
            expires_at: Timestamp::from_millis(row.expires_at),
        })
    }
}

impl Tx {
    /// Adds a ticket.
    pub async fn ticket_insert(&mut self, t: &Ticket) -> Result<()> {
        const SQL: &str = "INSERT INTO tickets (id, kind, client_id, user_id, security_version, secret_hash, code_hash, \
            attempts_left, sealed, sealing_version, created_at, expires_at, used_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, NULL)";
        execute!(
            self,
            SQL,
            t.id.as_str(),
            t.kind.as_str(),
            t.client.as_str(),
            t.user.as_ref().map(UserId::as_str),
            t.security_version,
            t.secret.as_bytes(),
            t.code.as_bytes(),
            t.attempts_left,
            t.sealed.as_slice(),
            t.sealing_version,
            t.created_at.millis(),
            t.expires_at.millis()
        )
        .map(|_| ())
    }

    /// A ticket that was not used and has not expired, even if no attempts at its code are left.
    pub async fn ticket_find(&mut self, id: &TicketId, now: Timestamp) -> Result<Option<Ticket>> {
        const SQL: &str = "SELECT id, kind, client_id, user_id, security_version, secret_hash, code_hash, attempts_left, \
            sealed, sealing_version, created_at, expires_at FROM tickets \
            WHERE id = $1 AND used_at IS NULL AND expires_at > $2";
        optional!(self, TicketRow, SQL, id.as_str(), now.millis())?.map(Ticket::try_from).transpose()
    }

    /// Uses up one attempt at a ticket's code. Returns the ticket, or nothing if it has no attempts left, was used or
    /// has expired.
    pub async fn ticket_attempt(&mut self, id: &TicketId, now: Timestamp) -> Result<Option<Ticket>> {
        const SQL: &str = "UPDATE tickets SET attempts_left = attempts_left - 1 \
            WHERE id = $1 AND used_at IS NULL AND expires_at > $2 AND attempts_left > 0 \
            RETURNING id, kind, client_id, user_id, security_version, secret_hash, code_hash, attempts_left, sealed, \
            sealing_version, created_at, expires_at";
        optional!(self, TicketRow, SQL, id.as_str(), now.millis())?.map(Ticket::try_from).transpose()
    }

    /// Returns an attempt that was right but had no effect.
    pub async fn ticket_give_back(&mut self, id: &TicketId) -> Result<()> {
        execute!(self, "UPDATE tickets SET attempts_left = attempts_left + 1 WHERE id = $1", id.as_str()).map(|_| ())
    }

    /// Marks a ticket as used. Returns whether this call did it.
    pub async fn ticket_use(&mut self, id: &TicketId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE tickets SET used_at = $2 WHERE id = $1 AND used_at IS NULL AND expires_at > $2";
        Ok(execute!(self, SQL, id.as_str(), now.millis())? == 1)
    }

    /// The number of valid tickets of a kind that a user has.
    pub async fn tickets_live(&mut self, user: &UserId, kind: TicketKind, now: Timestamp) -> Result<i64> {
        const SQL: &str = "SELECT count(*) FROM tickets WHERE user_id = $1 AND kind = $2 AND used_at IS NULL \
            AND expires_at > $3";
        let row = optional!(self, (i64,), SQL, user.as_str(), kind.as_str(), now.millis())?;
        Ok(row.map_or(0, |(n,)| n))
    }

    /// Deletes tickets that expired before this time. Returns their number.
    pub async fn tickets_forget(&mut self, before: Timestamp) -> Result<u64> {
        execute!(self, "DELETE FROM tickets WHERE expires_at < $1", before.millis())
    }
}
