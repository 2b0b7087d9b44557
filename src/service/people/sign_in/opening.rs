//! Opens the session of a user who has proved who they are.

use serde_json::json;

use super::{Goal, SignInCall, SignIns, VerifiedUser, goal::BrowserGoal};
use crate::{
    domain::{
        audit::{Actor, AuditEvent, AuditKind},
        client::Client,
        guest::GuestJoin,
        guest_conflict::GuestConflict,
        passkey::PasskeyUse,
        scope::Scope,
        session::{FormSpending, OpenOutcome, Session, SessionKind, TicketSpending, browser_idle_expiry},
    },
    error::{Error, Reason, Result},
    id::{AuditEventId, SessionId},
    secret::SessionSecret,
    service::{
        access::RequestContext,
        people::users::mapped_claims,
        tokens::{Subject, TokenPair, TokenParams, audience_of, scopes_of},
    },
    store::Opening,
    time::Timestamp,
};

/// A session that was opened, and its secret.
pub(super) struct OpenedSession {
    pub(super) session: Session,
    pub(super) secret: SessionSecret,
    /// Where both the account and the guest who has joined it had data.
    pub(super) conflicts: Vec<GuestConflict>,
}

/// What became of a session that was to be opened.
pub(super) enum Opened {
    /// It is open.
    Session(Box<OpenedSession>),
    /// The form, or the last step, had been spent already: nothing was written.
    Spent,
    /// The session that it was to replace has ended: nothing was written.
    BasisEnded,
}

/// Makes a row that is spent from the session it is spent for.
type Spends<'a, T> = dyn Fn(&OpenedSession) -> Result<T> + Sync + 'a;

/// What is spent when a session is opened: each makes the row from the session, whose cookie it keeps for a short time.
#[derive(Clone, Copy, Default)]
pub(super) struct Spend<'a> {
    pub(super) form: Option<&'a Spends<'a, Option<FormSpending>>>,
    pub(super) ticket: Option<&'a Spends<'a, TicketSpending>>,
    /// A session of the same user that ends with it.
    pub(super) supersedes: Option<&'a SessionId>,
    /// A guest's session that ends with it, and whose data the user gets.
    pub(super) guest: Option<&'a GuestJoin>,
    /// The passkey that was used, if nothing else was proved.
    pub(super) passkey: Option<&'a PasskeyUse>,
}

impl SignIns {
    /// Inserts the session, provided the user has not changed since the password was checked. What `spend`
    /// names is spent with it.
    pub(super) async fn open_session(
        &self,
        ctx: &RequestContext,
        call: &SignInCall<'_>,
        verified: VerifiedUser,
        spend: Spend<'_>,
    ) -> Result<Opened> {
        // Since it was authenticated, a password was checked and steps were taken.
        let client = &*self.callers.current_client(call.client)?;
        let max_sessions = self.live.snapshot().settings.sessions_per_user.max(1);
        let now = self.live.now();
        let mut opened = self.new_session(client, call, &verified, now).await?;
        if let Goal::Tokens(granted) = &call.goal {
            let params = TokenParams { audience: &granted.audience, scopes: &granted.scopes, now };
            self.check_first_token(client, &opened.session, params)?;
        }
        let event = self.signed_in_event(&opened.session, call.person.address().to_owned(), now);
        let opening = Opening {
            session: opened.session.clone(),
            security_version: verified.user.security_version,
            rehash: verified.rehash,
            max_sessions,
            event: Some(event),
            form: spend.form.map(|spend| spend(&opened)).transpose()?.flatten(),
            ticket: spend.ticket.map(|spend| spend(&opened)).transpose()?,
            supersedes: spend.supersedes.cloned(),
            guest: spend.guest.cloned(),
            passkey: spend.passkey.cloned(),
            browser: match &call.goal {
                Goal::Browser(goal) => goal.signing_browser(client),
                Goal::Tokens(_) => None,
            },
        };
        match self.writer.open(opening, ctx.deadline).await? {
            OpenOutcome::Opened => Ok(Opened::Session(Box::new(opened))),
            OpenOutcome::Joined(conflicts) => {
                self.guests.note_joined();
                opened.conflicts = conflicts;
                Ok(Opened::Session(Box::new(opened)))
            }
            OpenOutcome::UserChanged => Err(Error::Conflict),
            OpenOutcome::FormSpent => Ok(Opened::Spent),
            OpenOutcome::BasisEnded => Ok(Opened::BasisEnded),
        }
    }

    /// The tokens of a session that was just opened.
    pub(super) async fn first_tokens(&self, call: &SignInCall<'_>, opened: OpenedSession) -> Result<TokenPair> {
        let Goal::Tokens(granted) = &call.goal else { return Err(Error::Internal("a browser gets no tokens".into())) };
        let client = self.callers.current_client(call.client)?;
        let OpenedSession { session, secret, conflicts } = opened;
        let params = TokenParams { audience: &granted.audience, scopes: &granted.scopes, now: session.created_at };
        let snapshot = self.live.for_signing()?;
        let pair = self.minter.pair(&snapshot, &client, &session.into(), &secret, params).await?;
        Ok(TokenPair { conflicts, ..pair })
    }

    /// Fails if the first token would be too large: a session that cannot have a token is not opened.
    fn check_first_token(&self, client: &Client, session: &Session, params: TokenParams<'_>) -> Result<()> {
        let basis = session.clone().into();
        self.minter.check_size(&self.live.snapshot(), client, Subject::Session(&basis), params)
    }

    /// The event. The store adds the guest who joins: it alone knows which one does.
    fn signed_in_event(&self, session: &Session, address: String, now: Timestamp) -> AuditEvent {
        let mut details = json!({ "amr": session.amr });
        if let (Some(details), Some(site)) = (details.as_object_mut(), &session.site) {
            details.insert("site".to_owned(), site.as_str().into());
        }
        AuditEvent {
            id: AuditEventId::new(now, &*self.entropy),
            at: now,
            kind: AuditKind::SignedIn,
            actor: Actor {
                client: Some(session.client.as_str().to_owned()),
                address,
                ..Actor::named(&session.subject)
            },
            subject: session.subject.clone(),
            session: Some(session.id.clone()),
            details,
        }
    }

    /// The session, as far as its kind makes a difference, with the end user's own marks.
    async fn new_session(
        &self,
        client: &Client,
        call: &SignInCall<'_>,
        verified: &VerifiedUser,
        now: Timestamp,
    ) -> Result<OpenedSession> {
        let secret = SessionSecret::generate(&*self.entropy);
        let mut session = match &call.goal {
            Goal::Tokens(granted) => {
                audience_of(client, granted.audience.as_str())?;
                self.session_of(client, verified, &secret, now, &granted.scopes)
            }
            Goal::Browser(goal) => self.browser_session_of(client, verified, &secret, now, goal)?,
        };
        call.device.label.clone_into(&mut session.device_label);
        call.person.known().address().clone_into(&mut session.address);
        call.person.known().user_agent().clone_into(&mut session.user_agent);
        session.roles.clone_from(&verified.roles);
        if let Some(basis) = &verified.basis {
            basis.carry_over(&mut session);
        }
        session.status = Some(self.lists.next_index(now).await?);
        Ok(OpenedSession { session, secret, conflicts: Vec::new() })
    }

    /// A session behind a cookie. It has every scope of its client and, but for this server itself, every audience.
    fn browser_session_of(
        &self,
        client: &Client,
        verified: &VerifiedUser,
        secret: &SessionSecret,
        now: Timestamp,
        goal: &BrowserGoal,
    ) -> Result<Session> {
        if client.config.site.as_ref().is_none_or(|site| site.origin() != goal.site) {
            let text = "the client has this site no longer".to_owned();
            return Err(Error::Denied(Reason::ClientNotAllowed, text));
        }
        let mut session = self.session_of(client, verified, secret, now, &scopes_of(client, &[])?);
        session.audiences = client.config.application_audiences(self.live.issuer()).cloned().collect();
        session.kind = SessionKind::Browser;
        session.site = Some(goal.site.clone());
        session.idle_expires_at = browser_idle_expiry(now, session.idle_ttl);
        Ok(session)
    }

    pub(super) fn session_of(
        &self,
        client: &Client,
        verified: &VerifiedUser,
        secret: &SessionSecret,
        now: Timestamp,
        scopes: &[Scope],
    ) -> Session {
        let (config, user) = (&client.config, &verified.user);
        let absolute_expires_at = now.plus(config.session_absolute);
        Session {
            id: SessionId::new(now, &*self.entropy),
            kind: SessionKind::Token,
            parent: None,
            site: None,
            superseded_by: None,
            user: Some(user.id.clone()),
            subject: user.subject.clone(),
            client: client.id.clone(),
            generation: 0,
            secret: secret.hash(),
            rotated_at: now,
            previous_rotated_at: now,
            rotation_request_id: None,
            auth_time: verified.auth_time.unwrap_or(now),
            amr: verified.proved.amr(),
            acr: verified.proved.acr().to_owned(),
            scopes: scopes.to_vec(),
            audiences: config.audiences.clone(),
            claims: mapped_claims(client, user),
            roles: Vec::new(),
            created_at: now,
            idle_ttl: config.session_idle.max(config.token_lifetime),
            idle_expires_at: now.plus(config.session_idle.max(config.token_lifetime)),
            absolute_expires_at,
            revoked: None,
            device_label: String::new(),
            user_agent: String::new(),
            address: String::new(),
            status: None,
        }
    }
}
