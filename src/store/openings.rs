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
        guest::{GuestJoin, SigningBrowser},
        passkey::PasskeyUse,
        session::{
            FormSpending, OpenOutcome, RESULT_TTL, RevokedCause, Session, SessionKind, SpentForm, TicketSpending,
        },
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
    /// The audit event written with the session; none for a guest: what everybody can have for nothing is counted.
    pub event: Option<AuditEvent>,
    /// The form that it spends.
    pub form: Option<FormSpending>,
    /// The ticket whose last step it is.
    pub ticket: Option<TicketSpending>,
    /// The user's session that it replaces.
    pub supersedes: Option<SessionId>,
    /// The guest's session that it replaces, and whose data its user gets.
    pub guest: Option<GuestJoin>,
    /// The passkey that the user has signed in with, and nothing else.
    pub passkey: Option<PasskeyUse>,
    /// The browser, where it may be a guest's.
    pub browser: Option<SigningBrowser>,
}

impl Opening {
    /// The opening of a guest's session.
    #[must_use]
    pub const fn of_guest(session: Session) -> Self {
        Self {
            session,
            security_version: 0,
            rehash: None,
            max_sessions: 0,
            event: None,
            form: None,
            ticket: None,
            supersedes: None,
            guest: None,
            passkey: None,
            browser: None,
        }
    }

    /// An opening that spends and replaces nothing.
    #[must_use]
    pub const fn new(session: Session, security_version: i64, max_sessions: i64, event: AuditEvent) -> Self {
        Self {
            session,
            security_version,
            rehash: None,
            max_sessions,
            event: Some(event),
            form: None,
            ticket: None,
            supersedes: None,
            guest: None,
            passkey: None,
            browser: None,
        }
    }
}

impl Opening {
    /// Who signs in.
    fn actor(&self) -> Actor {
        self.event.as_ref().map_or_else(Actor::system, |event| event.actor.clone())
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
        let Some(user) = session.user.clone() else { return self.guest_open(opening, now).await };
        let mut replaced = opening.supersedes.clone();
        let (late, mut joined);
        joined = None;
        if let Some(join) = &opening.guest {
            joined = self.guest_hold(&join.session, (&user, session.kind), now).await?.map(|subject| (subject, join));
            if joined.is_none() {
                // Another tab may have signed in meanwhile.
                replaced = Some(join.session.clone());
            }
        }
        if let Some(old) = replaced.take() {
            replaced = self.basis_hold(old, (&user, session.kind), now).await?;
            if replaced.is_none() {
                return Ok(OpenOutcome::BasisEnded);
            }
        }
        if let Some(parent) = session.parent.take() {
            session.parent = self.live_hold(parent, &user, now).await?;
            if session.parent.is_none() {
                return Ok(OpenOutcome::BasisEnded);
            }
        }
        if !self.spend(opening, now).await? {
            return Ok(OpenOutcome::FormSpent);
        }
        if let Some(used) = &opening.passkey
            && !self.passkey_use(used, now).await?
        {
            self.unspend(opening).await?;
            return Ok(OpenOutcome::UserChanged);
        }
        late = self.late_guest(opening, now).await?;
        if let (Some(join), None, None) = (&late, &joined, &replaced) {
            joined = self.guest_hold(&join.session, (&user, session.kind), now).await?.map(|subject| (subject, join));
        }
        if let Some(phc) = &opening.rehash {
            self.password_rehash(&user, phc).await?;
        }
        if let Some(old) = &replaced {
            let by = By { actor: &opening.actor(), cause: RevokedCause::Superseded, settings, now };
            self.session_supersede(old, (&session, &user), &by).await?;
        }
        let mut conflicts = None;
        if let Some((subject, join)) = &joined {
            let by = By { actor: &opening.actor(), cause: RevokedCause::Superseded, settings, now };
            self.session_supersede(&join.session, (&session, &user), &by).await?;
            conflicts = Some(self.session_data_join(subject, (&user, &session), &join.policies).await?);
        }
        let actor = Actor::system();
        let by = By { actor: &actor, cause: RevokedCause::TooManySessions, settings, now };
        self.make_room((&session, &user), opening.max_sessions, &by).await?;
        self.session_insert(&session).await?;
        if session.parent.is_some() {
            self.end_with_parent(&session).await?;
        }
        if let Some(event) = &opening.event {
            let guest = joined.as_ref().map(|(_, join)| &join.session);
            self.audit_append(&with_guest(event, guest)).await?;
        }
        Ok(conflicts.map_or(OpenOutcome::Opened, OpenOutcome::Joined))
    }

    /// Opens the session of a guest, of whom nothing is known, unless the same browser has just become a guest.
    async fn guest_open(&mut self, opening: &Opening, now: Timestamp) -> Result<OpenOutcome> {
        if let Some(form) = &opening.form
            && !self.guest_begin(form, &opening.session.id, now).await?
        {
            return Ok(OpenOutcome::FormSpent);
        }
        self.session_insert(&opening.session).await?;
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
            self.unspend(opening).await?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Gives a form back that was spent in this transaction.
    async fn unspend(&mut self, opening: &Opening) -> Result<()> {
        let Some(form) = &opening.form else { return Ok(()) };
        execute!(self, "DELETE FROM spent_forms WHERE id = $1", form.id.as_slice()).map(|_| ())
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

    /// Locks the row of a user's session of this kind. Returns whether it is live.
    async fn session_hold(
        &mut self,
        id: &SessionId,
        (user, kind): (&UserId, SessionKind),
        now: Timestamp,
    ) -> Result<bool> {
        const SQL: &str = "UPDATE sessions SET kind = kind WHERE id = $1 AND user_id = $2 AND kind = $4 \
            AND revoked_at IS NULL AND idle_expires_at > $3 AND absolute_expires_at > $3";
        Ok(execute!(self, SQL, id.as_str(), user.as_str(), now.millis(), kind.as_str())? == 1)
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

    /// Locks the row of the user's session that one of this kind is to replace. Returns which it is; nothing if it has
    /// ended.
    pub async fn basis_hold(
        &mut self,
        old: SessionId,
        (user, kind): (&UserId, SessionKind),
        now: Timestamp,
    ) -> Result<Option<SessionId>> {
        Ok(match kind {
            // Or the one that has replaced it: two tabs of a browser may sign in at once.
            SessionKind::Browser => self.live_hold(old, user, now).await?,
            // The tokens of one that has replaced it are in use elsewhere.
            kind => self.session_hold(&old, (user, kind), now).await?.then_some(old),
        })
    }

    /// Locks the row of a session that another is opened from, or replaces: this one or, if it was replaced meanwhile,
    /// the one that replaced it. Returns which; nothing if it has ended.
    async fn live_hold(&mut self, mut id: SessionId, user: &UserId, now: Timestamp) -> Result<Option<SessionId>> {
        const NEXT: &str = "SELECT superseded_by FROM sessions WHERE id = $1 AND superseded_by IS NOT NULL";
        for _ in 0..MAX_SUCCESSORS {
            if self.session_hold(&id, (user, SessionKind::Browser), now).await? {
                return Ok(Some(id));
            }
            let Some((next,)) = optional!(self, (String,), NEXT, id.as_str())? else { return Ok(None) };
            id = next.parse().map_err(|_| corrupt("sessions", "superseded_by", id.as_str()))?;
        }
        Ok(None)
    }

    /// Replaces a session that is held. The user's sessions that were opened from it are as if they had been opened
    /// from the new one; those of another user end.
    async fn session_supersede(
        &mut self,
        old: &SessionId,
        (new, user): (&Session, &UserId),
        by: &By<'_>,
    ) -> Result<()> {
        const MOVE: &str = "UPDATE sessions SET parent_id = $2, absolute_expires_at = CASE \
            WHEN absolute_expires_at > $4 THEN $4 ELSE absolute_expires_at END \
            WHERE parent_id = $1 AND user_id = $3 AND revoked_at IS NULL";
        let ends = new.absolute_expires_at.millis();
        execute!(self, MOVE, old.as_str(), new.id.as_str(), user.as_str(), ends)?;
        let link = "UPDATE sessions SET superseded_by = $2 WHERE id = $1";
        execute!(self, link, old.as_str(), new.id.as_str())?;
        self.session_data_move(old, &new.id).await?;
        self.revoke(Revoke::Sessions(std::slice::from_ref(old)), by).await.map(|_| ())
    }

    /// Ends the oldest sessions where the new one would be one too many.
    async fn make_room(&mut self, (session, user): (&Session, &UserId), max_sessions: i64, by: &By<'_>) -> Result<()> {
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

/// The event of a sign-in, with the guest who has joined.
fn with_guest(event: &AuditEvent, guest: Option<&SessionId>) -> AuditEvent {
    let mut event = event.clone();
    if let (Some(details), Some(guest)) = (event.details.as_object_mut(), guest) {
        details.insert("guest_session".to_owned(), guest.as_str().into());
    }
    event
}
