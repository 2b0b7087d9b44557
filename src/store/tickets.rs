//! Tickets. Each can be used once, which a conditional update ensures. Of those about one topic only the latest is
//! valid.

use std::fmt;

use super::{
    engine::{Tx, execute, optional},
    failure::corrupt,
};
use crate::{
    domain::{
        client::ClientId,
        session::{RESULT_TTL, TicketSpending},
        ticket::{ATTEMPTS, Ticket, TicketKind},
    },
    error::{Error, Result},
    id::{TicketId, UserId},
    secret::CodeHash,
    time::Timestamp,
};

/// The columns of a [`TicketRow`].
macro_rules! columns {
    () => {
        "id, kind, client_id, user_id, security_version, secret_hash, code_hash, attempts_left, topic, sealed, \
         sealing_version, holder, revision, created_at, expires_at"
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

pub(super) use {columns, valid};

/// The condition on the ticket $1 at $2, whose holder $3 takes the step $4.
macro_rules! held {
    () => {
        "id = $1 AND kind = 'sign_in' AND holder = $3 AND revision = $4 AND used_at IS NULL AND expires_at > $2"
    };
}

/// A step of a sign-in that leads to another one.
#[derive(Clone, Copy)]
pub struct TicketAdvance<'a> {
    /// The ticket.
    pub id: &'a TicketId,
    /// Who takes the step.
    pub holder: &'a [u8; 32],
    /// The step that is taken.
    pub revision: i64,
    /// The user's `security_version` after the step.
    pub security_version: i64,
    /// A new code, with all its attempts, if one is sent.
    pub code: Option<&'a CodeHash>,
    /// The sealed state at the next step.
    pub sealed: &'a [u8],
    /// The version of the sealing key.
    pub sealing_version: i64,
    /// When the next step expires.
    pub expires_at: Timestamp,
}

impl fmt::Debug for TicketAdvance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketAdvance").field("id", &self.id).field("revision", &self.revision).finish_non_exhaustive()
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct TicketRow {
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
    holder: Option<Vec<u8>>,
    revision: i64,
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
            holder: row.holder.map(TryInto::try_into).transpose().map_err(|_| corrupt("tickets", "holder", &row.id))?,
            revision: row.revision,
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
        if self.ticket_insert_once(t).await? { Ok(()) } else { Err(Error::Conflict) }
    }

    /// Adds a ticket, unless there is one with its id. Returns whether it did.
    pub async fn ticket_insert_once(&mut self, t: &Ticket) -> Result<bool> {
        const SQL: &str = "INSERT INTO tickets (id, kind, client_id, user_id, security_version, secret_hash, code_hash, \
            attempts_left, topic, sealed, sealing_version, holder, revision, created_at, expires_at, used_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, NULL) ON CONFLICT DO NOTHING";
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
            t.holder.as_ref().map(|holder| &holder[..]),
            t.revision,
            t.created_at.millis(),
            t.expires_at.millis()
        )
        .map(|added| added == 1)
    }

    /// A ticket that was not used and has not expired, even if no attempts at its code are left.
    pub async fn ticket_find(&mut self, id: &TicketId, now: Timestamp) -> Result<Option<Ticket>> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM tickets WHERE ", valid!());
        optional!(self, TicketRow, SQL, id.as_str(), now.millis())?.map(Ticket::try_from).transpose()
    }

    /// A ticket that this holder was given, even if it was used or has expired, for as long as it is stored.
    pub async fn ticket_of_holder(&mut self, id: &TicketId, holder: &[u8; 32]) -> Result<Option<Ticket>> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM tickets WHERE id = $1 AND holder = $2");
        optional!(self, TicketRow, SQL, id.as_str(), holder.as_slice())?.map(Ticket::try_from).transpose()
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

    /// Takes a step of a sign-in, which leads to the next one. Returns whether this call took it: the ticket was this
    /// holder's, at this revision, unused and not expired.
    pub async fn ticket_advance(&mut self, to: &TicketAdvance<'_>, now: Timestamp) -> Result<bool> {
        const SQL: &str = concat!(
            "UPDATE tickets SET revision = revision + 1, security_version = $5, code_hash = coalesce($6, code_hash), \
             attempts_left = CASE WHEN $6 IS NULL THEN attempts_left ELSE $7 END, sealed = $8, sealing_version = $9, \
             expires_at = $10 WHERE ",
            held!()
        );
        execute!(
            self,
            SQL,
            to.id.as_str(),
            now.millis(),
            to.holder.as_slice(),
            to.revision,
            to.security_version,
            to.code.map(CodeHash::as_bytes),
            ATTEMPTS,
            to.sealed,
            to.sealing_version,
            to.expires_at.millis()
        )
        .map(|changed| changed == 1)
    }

    /// Takes the last step of a sign-in and keeps what it led to for [`RESULT_TTL`]. Returns whether this call took it,
    /// as [`Tx::ticket_advance`] does.
    pub async fn ticket_finish(&mut self, step: &TicketSpending, now: Timestamp) -> Result<bool> {
        const SQL: &str = concat!("UPDATE tickets SET used_at = $2, result = $5, expires_at = $6 WHERE ", held!());
        let TicketSpending { id, holder, revision, result } = step;
        let kept_until = now.plus(RESULT_TTL).millis();
        let (holder, result) = (holder.as_slice(), result.as_slice());
        Ok(execute!(self, SQL, id.as_str(), now.millis(), holder, *revision, result, kept_until)? == 1)
    }

    /// What the last step of a holder's sign-in led to, for as long as it is kept.
    pub async fn ticket_result(&mut self, id: &TicketId, holder: &[u8; 32], now: Timestamp) -> Result<Option<Vec<u8>>> {
        const SQL: &str = "SELECT result FROM tickets WHERE id = $1 AND holder = $2 AND used_at IS NOT NULL \
            AND result IS NOT NULL AND expires_at > $3";
        let row = optional!(self, (Vec<u8>,), SQL, id.as_str(), holder.as_slice(), now.millis())?;
        Ok(row.map(|(result,)| result))
    }

    /// Deletes at most `limit` tickets that expired before this time. Returns their number.
    pub async fn tickets_forget(&mut self, before: Timestamp, limit: i64) -> Result<u64> {
        const SQL: &str = "DELETE FROM tickets WHERE id IN \
            (SELECT id FROM tickets WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
        execute!(self, SQL, before.millis(), limit)
    }
}
