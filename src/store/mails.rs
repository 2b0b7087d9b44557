//! The outbox. A process that sends a mail claims it with a lease. When the lease expires, another process may
//! claim the mail.

use super::{
    engine::{Tx, all, execute, optional},
    failure::corrupt,
};
use crate::{
    domain::mail::SealedMail,
    error::{Error, Result},
    time::{Timestamp, Ttl},
};

/// A mail claimed by one sender for the time of its lease.
#[derive(Debug)]
pub struct ClaimedMail {
    /// The id.
    pub id: String,
    /// The tag that identifies this claim.
    pub tag: String,
    /// The number of this attempt, starting at 1.
    pub attempts: i64,
    /// When it stops being worth sending.
    pub expires_at: Timestamp,
    /// The mail itself, or why the row cannot be read. An unreadable row must not block other mails.
    pub mail: Result<SealedMail>,
}

/// The backlog in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailsWaiting {
    /// The number of mails.
    pub all: i64,
    /// When the oldest was queued.
    pub oldest: Option<Timestamp>,
    /// How many have expired.
    pub expired: i64,
}

#[derive(sqlx::FromRow)]
struct MailRow {
    id: String,
    recipient: String,
    kind: String,
    language: String,
    params: Vec<u8>,
    sealing_version: i64,
    attempts: i64,
    claimed_by: String,
    created_at: i64,
    expires_at: i64,
}

impl TryFrom<MailRow> for SealedMail {
    type Error = Error;
    fn try_from(row: MailRow) -> Result<Self> {
        let bad = |column| corrupt("mails", column, &row.id);
        Ok(Self {
            id: row.id.parse().map_err(|_| bad("id"))?,
            to: row.recipient.parse().map_err(|_| bad("recipient"))?,
            kind: row.kind.parse().map_err(|_| bad("kind"))?,
            language: row.language.parse().map_err(|_| bad("language"))?,
            sealed: row.params,
            sealing_version: row.sealing_version,
            created_at: Timestamp::from_millis(row.created_at),
            expires_at: Timestamp::from_millis(row.expires_at),
        })
    }
}

impl MailRow {
    fn claimed(self) -> ClaimedMail {
        ClaimedMail {
            id: self.id.clone(),
            tag: self.claimed_by.clone(),
            attempts: self.attempts,
            expires_at: Timestamp::from_millis(self.expires_at),
            mail: self.try_into(),
        }
    }
}

impl Tx {
    /// Queues a mail. It is sent if this transaction commits.
    pub async fn mail_enqueue(&mut self, mail: &SealedMail) -> Result<()> {
        const SQL: &str = "INSERT INTO mails (id, recipient, kind, language, params, sealing_version, attempts, \
            next_attempt_at, claimed_until, claimed_by, created_at, expires_at) \
            VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $7, '', $7, $8)";
        execute!(
            self,
            SQL,
            mail.id.as_str(),
            mail.to.as_str(),
            mail.kind.as_str(),
            mail.language.as_str(),
            &mail.sealed,
            mail.sealing_version,
            mail.created_at.millis(),
            mail.expires_at.millis()
        )?;
        self.mailed = true;
        Ok(())
    }

    /// Whether a mail is due now.
    pub async fn mails_due(&mut self, now: Timestamp) -> Result<bool> {
        const SQL: &str =
            "SELECT id FROM mails WHERE next_attempt_at <= $1 AND claimed_until <= $1 AND expires_at > $1 LIMIT 1";
        Ok(optional!(self, (String,), SQL, now.millis())?.is_some())
    }

    /// Claims up to `limit` due mails, those that have waited longest. No other process can claim them before the
    /// lease expires. The tag identifies this claim.
    pub async fn mails_claim(&mut self, now: Timestamp, lease: Ttl, limit: i64, tag: &str) -> Result<Vec<ClaimedMail>> {
        // The condition is repeated because PostgreSQL checks only the outer one again after a concurrent claim.
        const SQL: &str = "UPDATE mails SET claimed_until = $2, claimed_by = $4, attempts = attempts + 1 \
            WHERE claimed_until <= $1 AND id IN (SELECT id FROM mails \
            WHERE next_attempt_at <= $1 AND claimed_until <= $1 AND expires_at > $1 \
            ORDER BY next_attempt_at, id LIMIT $3) \
            RETURNING id, recipient, kind, language, params, sealing_version, attempts, claimed_by, created_at, expires_at";
        let rows = all!(self, MailRow, SQL, now.millis(), now.plus(lease).millis(), limit, tag)?;
        Ok(rows.into_iter().map(MailRow::claimed).collect())
    }

    /// Deletes a mail that was sent or given up. Returns whether this claim still held it.
    pub async fn mail_finish(&mut self, id: &str, tag: &str) -> Result<bool> {
        const SQL: &str = "DELETE FROM mails WHERE id = $1 AND claimed_by = $2";
        Ok(execute!(self, SQL, id, tag)? == 1)
    }

    /// Releases a mail, to be retried at `next`. Returns whether this claim still held it.
    pub async fn mail_failed(&mut self, id: &str, tag: &str, next: Timestamp, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE mails SET next_attempt_at = $3, claimed_until = $4, claimed_by = '' \
            WHERE id = $1 AND claimed_by = $2";
        Ok(execute!(self, SQL, id, tag, next.millis(), now.millis())? == 1)
    }

    /// Deletes expired mails that no process is sending. Returns their number.
    pub async fn mails_forget(&mut self, now: Timestamp) -> Result<u64> {
        execute!(self, "DELETE FROM mails WHERE expires_at <= $1 AND claimed_until <= $1", now.millis())
    }

    /// The backlog in the outbox.
    pub async fn mails_waiting(&mut self, now: Timestamp) -> Result<MailsWaiting> {
        const SQL: &str = "SELECT count(*), min(created_at), \
            count(CASE WHEN expires_at <= $1 AND claimed_until <= $1 THEN 1 END) FROM mails";
        let row = optional!(self, (i64, Option<i64>, i64), SQL, now.millis())?;
        let (all, oldest, expired) = row.unwrap_or_default();
        Ok(MailsWaiting { all, oldest: oldest.map(Timestamp::from_millis), expired })
    }
}
