//! Opening a session, with everything that must be decided in the same transaction.

use super::{
    By, Revoke,
    engine::{Tx, all, execute, optional},
    failure::corrupt,
    sessions::session_ids,
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent},
        session::{FormSpending, OpenOutcome, RESULT_TTL, RevokedCause, Session, SpentForm, TicketSpending},
        settings::Settings,
    },
    error::Result,
    id::{SessionId, UserId},
    passwords::Phc,
    time::Timestamp,
};

/// How many live sessions of one client may be opened from one session.
const CHILDREN_PER_CLIENT: i64 = 5;
/// How many more sessions may be opened from others than on their own.
const CHILDREN_PER_OWN: i64 = 2;
/// How often in a row a session may have been replaced before those opened from it are refused.
const MAX_SUCCESSORS: usize = 16;

/// A session to open.
#[derive(Debug)]
pub struct Opening {
    /// The session.
    pub session: Session,
    /// The user's `security_version` when the password was checked.
    pub security_version: i64,
    /// A new hash that replaces one with outdated parameters.
    pub rehash: Option<Phc>,
    /// Maximum live sessions of a user that were not opened from others; the oldest ones beyond it are ended.
    pub max_sessions: i64,
    /// The audit event written with the session.
    pub event: AuditEvent,
    /// The form that it spends.
    pub form: Option<FormSpending>,
    /// The ticket whose last step it is.
    pub ticket: Option<TicketSpending>,
    /// The user's session that it replaces.
    pub supersedes: Option<SessionId>,
}

impl Opening {
    /// An opening that spends and replaces nothing.
    #[must_use]
    pub const fn new(session: Session, security_version: i64, max_sessions: i64, event: AuditEvent) -> Self {
        Self {
            session,
            security_version,
            rehash: None,
            max_sessions,
            event,
            form: None,
            ticket: None,
            supersedes: None,
        }
    }
}

#[derive(sqlx::FromRow)]
struct SpentRow {
    proof: Vec<u8>,
    session_id: String,
    result: Option<Vec<u8>>,
    spent_at: i64,
}

impl Tx {
    /// Opens a session of a user whose row is held, see [`Tx::user_hold`]. The user's oldest sessions beyond the limits
    /// are ended. Every outcome but [`OpenOutcome::Opened`] leaves everything as it was.
    pub async fn session_open(
        &mut self,
        opening: &Opening,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<OpenOutcome> {
        let mut session = opening.session.clone();
        let mut replaced = opening.supersedes.clone();
        if let Some(old) = replaced.take() {
            // Or the one that has replaced it: two tabs of a browser may sign in at once.
            replaced = self.live_hold(old, &session.user, now).await?;
            if replaced.is_none() {
                return Ok(OpenOutcome::BasisEnded);
            }
        }
        if let Some(parent) = session.parent.take() {
            session.parent = self.live_hold(parent, &session.user, now).await?;
            if session.parent.is_none() {
                return Ok(OpenOutcome::BasisEnded);
            }
        }
        if !self.spend(opening, now).await? {
            return Ok(OpenOutcome::FormSpent);
        }
        if let Some(phc) = &opening.rehash {
            self.password_rehash(&session.user, phc).await?;
        }
        if let Some(old) = &replaced {
            let by = By { actor: &opening.event.actor, cause: RevokedCause::Superseded, settings, now };
            self.session_supersede(old, &session, &by).await?;
        }
        let actor = Actor::system();
        let by = By { actor: &actor, cause: RevokedCause::TooManySessions, settings, now };
        self.make_room(&session, opening.max_sessions, &by).await?;
        self.session_insert(&session).await?;
        if session.parent.is_some() {
            self.end_with_parent(&session).await?;
        }
        self.audit_append(&opening.event).await?;
        Ok(OpenOutcome::Opened)
    }

    /// Spends the form and the ticket. Returns whether both were unspent; if not, neither is spent.
    async fn spend(&mut self, opening: &Opening, now: Timestamp) -> Result<bool> {
        if let Some(form) = &opening.form
            && !self.form_spend(form, &opening.session.id, now).await?
        {
            return Ok(false);
        }
        if let Some(ticket) = &opening.ticket
            && !self.ticket_finish(ticket, now).await?
        {
            if let Some(form) = &opening.form {
                execute!(self, "DELETE FROM spent_forms WHERE id = $1", form.id.as_slice())?;
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// Spends a form. Returns whether this call did it.
    async fn form_spend(&mut self, form: &FormSpending, session: &SessionId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "INSERT INTO spent_forms (id, proof, session_id, result, spent_at) \
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let FormSpending { id, proof, result } = form;
        let (id, proof) = (id.as_slice(), proof.as_slice());
        Ok(execute!(self, SQL, id, proof, session.as_str(), result.as_slice(), now.millis())? == 1)
    }

    /// The form with this id, if it was spent. Its result is there only for [`RESULT_TTL`].
    pub async fn spent_form(&mut self, id: &[u8; 16], now: Timestamp) -> Result<Option<SpentForm>> {
        const SQL: &str = "SELECT proof, session_id, result, spent_at FROM spent_forms WHERE id = $1";
        let Some(row) = optional!(self, SpentRow, SQL, id.as_slice())? else { return Ok(None) };
        let spent_at = Timestamp::from_millis(row.spent_at);
        Ok(Some(SpentForm {
            proof: row.proof.try_into().map_err(|_| corrupt("spent_forms", "proof", &row.session_id))?,
            session: row.session_id.parse().map_err(|_| corrupt("spent_forms", "session_id", &row.session_id))?,
            result: row.result.filter(|_| now < spent_at.plus(RESULT_TTL)),
            spent_at,
        }))
    }

    /// Deletes the results of at most `limit` forms that were spent before this time. Returns their number.
    pub async fn form_results_forget(&mut self, before: Timestamp, limit: i64) -> Result<u64> {
        const SQL: &str = "UPDATE spent_forms SET result = NULL WHERE id IN (SELECT id FROM spent_forms \
            WHERE result IS NOT NULL AND spent_at < $1 ORDER BY spent_at LIMIT $2)";
        execute!(self, SQL, before.millis(), limit)
    }

    /// Deletes at most `limit` forms that were spent before this time. Returns their number.
    pub async fn spent_forms_forget(&mut self, before: Timestamp, limit: i64) -> Result<u64> {
        const SQL: &str = "DELETE FROM spent_forms WHERE id IN \
            (SELECT id FROM spent_forms WHERE spent_at < $1 ORDER BY spent_at LIMIT $2)";
        execute!(self, SQL, before.millis(), limit)
    }

    /// Locks the row of a user's session behind a cookie. Returns whether it is live.
    async fn session_hold(&mut self, id: &SessionId, user: &UserId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE sessions SET kind = kind WHERE id = $1 AND user_id = $2 AND kind = 'browser' \
            AND revoked_at IS NULL AND idle_expires_at > $3 AND absolute_expires_at > $3";
        Ok(execute!(self, SQL, id.as_str(), user.as_str(), now.millis())? == 1)
    }

    /// This session or, if it was replaced, the one that replaced it; nothing if that was ended. It may have expired.
    pub async fn session_or_successor(&mut self, mut id: SessionId) -> Result<Option<Session>> {
        for _ in 0..MAX_SUCCESSORS {
            let Some(session) = self.session_by_id(&id).await? else { return Ok(None) };
            if session.revoked.is_none() {
                return Ok(Some(session));
            }
            let Some(next) = session.superseded_by else { return Ok(None) };
            id = next;
        }
        Ok(None)
    }

    /// Locks the row of a session that another is opened from, or replaces: this one or, if it was replaced meanwhile,
    /// the one that replaced it. Returns which; nothing if it has ended.
    async fn live_hold(&mut self, mut id: SessionId, user: &UserId, now: Timestamp) -> Result<Option<SessionId>> {
        const NEXT: &str = "SELECT superseded_by FROM sessions WHERE id = $1 AND superseded_by IS NOT NULL";
        for _ in 0..MAX_SUCCESSORS {
            if self.session_hold(&id, user, now).await? {
                return Ok(Some(id));
            }
            let Some((next,)) = optional!(self, (String,), NEXT, id.as_str())? else { return Ok(None) };
            id = next.parse().map_err(|_| corrupt("sessions", "superseded_by", id.as_str()))?;
        }
        Ok(None)
    }

    /// Replaces a session that is held. The user's sessions that were opened from it are as if they had been opened
    /// from the new one; those of another user end.
    async fn session_supersede(&mut self, old: &SessionId, new: &Session, by: &By<'_>) -> Result<()> {
        const MOVE: &str = "UPDATE sessions SET parent_id = $2, absolute_expires_at = CASE \
            WHEN absolute_expires_at > $4 THEN $4 ELSE absolute_expires_at END \
            WHERE parent_id = $1 AND user_id = $3 AND revoked_at IS NULL";
        let ends = new.absolute_expires_at.millis();
        execute!(self, MOVE, old.as_str(), new.id.as_str(), new.user.as_str(), ends)?;
        let link = "UPDATE sessions SET superseded_by = $2 WHERE id = $1";
        execute!(self, link, old.as_str(), new.id.as_str())?;
        self.revoke(Revoke::Sessions(std::slice::from_ref(old)), by).await.map(|_| ())
    }

    /// Ends the oldest sessions where the new one would be one too many.
    async fn make_room(&mut self, session: &Session, max_sessions: i64, by: &By<'_>) -> Result<()> {
        let user = &session.user;
        let mut beyond = match &session.parent {
            None => self.sessions_beyond(user, max_sessions - 1, by.now).await?,
            Some(parent) => self.children_beyond(session, parent, by.now).await?,
        };
        if session.parent.is_some() {
            let most = max_sessions.saturating_mul(CHILDREN_PER_OWN);
            beyond.extend(self.all_children_beyond(user, most - 1, by.now).await?);
        }
        if !beyond.is_empty() {
            self.revoke(Revoke::Sessions(&beyond), by).await?;
        }
        Ok(())
    }

    /// The oldest sessions of a client that were opened from one session, beyond what there may be besides a new one.
    async fn children_beyond(
        &mut self,
        session: &Session,
        parent: &SessionId,
        now: Timestamp,
    ) -> Result<Vec<SessionId>> {
        const SQL: &str = "SELECT id FROM sessions WHERE parent_id = $1 AND client_id = $2 AND revoked_at IS NULL \
            AND idle_expires_at > $3 AND absolute_expires_at > $3 ORDER BY created_at DESC, id LIMIT 1000000 OFFSET $4";
        let keep = CHILDREN_PER_CLIENT - 1;
        session_ids(all!(self, (String,), SQL, parent.as_str(), session.client.as_str(), now.millis(), keep)?)
    }

    /// The oldest live sessions of a user that were opened from others, beyond the newest `keep`.
    async fn all_children_beyond(&mut self, user: &UserId, keep: i64, now: Timestamp) -> Result<Vec<SessionId>> {
        const SQL: &str = "SELECT id FROM sessions WHERE user_id = $1 AND parent_id IS NOT NULL AND revoked_at IS NULL \
            AND idle_expires_at > $2 AND absolute_expires_at > $2 ORDER BY created_at DESC, id LIMIT 1000000 OFFSET $3";
        session_ids(all!(self, (String,), SQL, user.as_str(), now.millis(), keep)?)
    }

    /// Has a session end with its parent at the latest.
    async fn end_with_parent(&mut self, session: &Session) -> Result<()> {
        const SQL: &str = "UPDATE sessions SET absolute_expires_at = (SELECT p.absolute_expires_at FROM sessions AS p \
            WHERE p.id = sessions.parent_id) WHERE id = $1 AND absolute_expires_at > \
            (SELECT p.absolute_expires_at FROM sessions AS p WHERE p.id = sessions.parent_id)";
        execute!(self, SQL, session.id.as_str()).map(|_| ())
    }
}
