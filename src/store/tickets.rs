//! Tickets. Each can be used once, which a conditional update ensures. Of those about one topic only the latest is
//! valid.

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

/// The columns of a [`TicketRow`].
macro_rules! columns {
    () => {
        "id, kind, client_id, user_id, security_version, secret_hash, code_hash, attempts_left, topic, sealed, \
         sealing_version, created_at, expires_at"
    };
}

/// The condition on a valid ticket with the id $1 at $2. Two transactions may have added tickets about one topic
/// without seeing each other's; the one with the later id counts.
macro_rules! valid {
    () => {
        "id = $1 AND used_at IS NULL AND expires_at > $2 AND NOT EXISTS (SELECT 1 FROM tickets AS other \
         WHERE other.topic = tickets.topic AND other.used_at IS NULL AND other.id > tickets.id)"
    };
}

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
    topic: Option<Vec<u8>>,
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
            topic: row.topic.map(TryInto::try_into).transpose().map_err(|_| corrupt("tickets", "topic", &row.id))?,
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
            attempts_left, topic, sealed, sealing_version, created_at, expires_at, used_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, NULL)";
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
            t.topic.as_ref().map(|topic| &topic[..]),
            t.sealed.as_slice(),
            t.sealing_version,
            t.created_at.millis(),
            t.expires_at.millis()
        )
        .map(|_| ())
    }

    /// A ticket that was not used and has not expired, even if no attempts at its code are left.
    pub async fn ticket_find(&mut self, id: &TicketId, now: Timestamp) -> Result<Option<Ticket>> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM tickets WHERE ", valid!());
        optional!(self, TicketRow, SQL, id.as_str(), now.millis())?.map(Ticket::try_from).transpose()
    }

    /// Uses up one attempt at a ticket's code. Returns the ticket, or nothing if it has no attempts left, was used or
    /// has expired.
    pub async fn ticket_attempt(&mut self, id: &TicketId, now: Timestamp) -> Result<Option<Ticket>> {
        const SQL: &str = concat!(
            "UPDATE tickets SET attempts_left = attempts_left - 1 WHERE ",
            valid!(),
            " AND attempts_left > 0 RETURNING ",
            columns!()
        );
        optional!(self, TicketRow, SQL, id.as_str(), now.millis())?.map(Ticket::try_from).transpose()
    }

    /// Returns an attempt that was right but had no effect.
    pub async fn ticket_give_back(&mut self, id: &TicketId) -> Result<()> {
        execute!(self, "UPDATE tickets SET attempts_left = attempts_left + 1 WHERE id = $1", id.as_str()).map(|_| ())
    }

    /// Marks a ticket as used. Returns whether this call did it.
    pub async fn ticket_use(&mut self, id: &TicketId, now: Timestamp) -> Result<bool> {
        const SQL: &str = concat!("UPDATE tickets SET used_at = $2 WHERE ", valid!());
        Ok(execute!(self, SQL, id.as_str(), now.millis())? == 1)
    }

    /// Voids all tickets about a topic. Returns their number.
    pub async fn tickets_void(&mut self, topic: &[u8; 32], now: Timestamp) -> Result<u64> {
        const SQL: &str = "UPDATE tickets SET used_at = $2 WHERE topic = $1 AND used_at IS NULL";
        execute!(self, SQL, topic.as_slice(), now.millis())
    }

    /// Deletes tickets that expired before this time. Returns their number.
    pub async fn tickets_forget(&mut self, before: Timestamp) -> Result<u64> {
        execute!(self, "DELETE FROM tickets WHERE expires_at < $1", before.millis())
    }
}
