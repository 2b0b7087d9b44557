//! Multi-step sign-ins: the server, not the client, keeps the steps left between a correct password and tokens. Each
//! step can be completed once.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{Device, Granted, SignIns, SignedIn, VerifiedUser};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        client::Client,
        end_user::EndUser,
        login::Login,
        mail::{Content, Language, Recipient},
        scope::{Audience, Scope},
        ticket::{Ticket, TicketKind},
        user::User,
    },
    error::{Error, Result},
    id::UserId,
    secret::{MailedSecret, Password, TicketToken, TypedCode},
    service::{
        access::{ClientCredentials, RequestContext},
        people::{
            emails::{Addressee, Asker},
            new_passwords::{
                asked, check_may_handle_passwords, check_new_password, end_user_address, hash_error,
                wait_min_response_time,
            },
            tickets::{CODE_INVALID, FoundTicket, IssuedTicket, PresentedTicket, is_code},
        },
        tokens::audience_of,
    },
    store::Tx,
    time::Timestamp,
};

/// A step that a sign-in still requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignInStep {
    /// Choose a new password.
    ChoosePassword,
    /// Verify an email address.
    VerifyEmail,
}

/// A step that the user must complete.
#[derive(Debug)]
pub struct Challenge {
    /// The step.
    pub step: SignInStep,
    /// The token for the next call.
    pub token: TicketToken,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The address that a code was sent to, if one was.
    pub sent_to: Option<String>,
}

/// The next step, as the client sends it.
#[derive(Debug)]
pub struct NextStep {
    /// The client id from the request.
    pub client_id: String,
    /// The token of the challenge.
    pub token: TicketToken,
    /// The new password.
    pub new_password: Password,
    /// The address to send a code to.
    pub email: String,
    /// The code that was sent.
    pub code: TypedCode,
}

/// The state of a sign-in with a correct password and steps left.
#[derive(Serialize, Deserialize)]
pub(super) struct SignInState {
    /// The steps that are left; the first one is next.
    steps: Vec<SignInStep>,
    audience: Audience,
    scopes: Vec<Scope>,
    device: Device,
    /// The email address that a code was sent to.
    email: Option<String>,
}

impl SignInState {
    pub(super) fn new(steps: Vec<SignInStep>, granted: &Granted, device: &Device) -> Self {
        let Granted { audience, scopes } = granted;
        Self { steps, audience: audience.clone(), scopes: scopes.clone(), device: device.clone(), email: None }
    }

    /// Where the user calls from, as the client has stated it at the first step. It was checked then.
    fn end_user(&self) -> EndUser {
        EndUser::parse(&self.device.address, &self.device.user_agent).unwrap_or_default()
    }
}

/// A sign-in whose next step is being completed.
struct PendingSignIn {
    ticket: Ticket,
    user: UserId,
    state: SignInState,
}

impl SignIns {
    /// The steps this user must complete to get tokens for this client.
    pub(super) async fn steps(&self, client: &Client, verified: &VerifiedUser) -> Result<Vec<SignInStep>> {
        let mut steps = Vec::new();
        if verified.must_change {
            steps.push(SignInStep::ChoosePassword);
        }
        if client.config.require_email {
            let logins = self.store.read().await?.logins_of(&verified.user.id).await?;
            if !logins.iter().any(|l| l.contains('@')) {
                steps.push(SignInStep::VerifyEmail);
            }
        }
        Ok(steps)
    }

    /// Stores a sign-in with steps left and returns the challenge.
    pub(super) async fn challenge(&self, client: &Client, user: &User, state: SignInState) -> Result<Challenge> {
        let user = Some((&user.id, user.security_version));
        let issued = self.tickets.issue(TicketKind::SignIn, &client.id, user, &state)?;
        let mut tx = self.store.write().await?;
        tx.ticket_insert(&issued.ticket).await?;
        tx.commit().await?;
        challenge(issued, &state)
    }

    /// Completes the next step of a sign-in.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`](crate::error::Reason::CodeInvalid) if this client has no such challenge; a violation
    /// of the fields that the step requires.
    pub async fn continue_sign_in(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        next: NextStep,
    ) -> Result<SignedIn> {
        let client = self.callers.client_of(ctx, credentials, &next.client_id).await?;
        check_may_handle_passwords(&client)?;
        self.live.for_signing()?;
        let arrived = Instant::now();
        let result = self.take_next_step(ctx, &client, next).await;
        if matches!(result, Err(Error::Unauthenticated(_))) {
            wait_min_response_time(arrived).await;
        }
        result
    }

    async fn take_next_step(&self, ctx: &RequestContext, client: &Client, next: NextStep) -> Result<SignedIn> {
        let presented =
            PresentedTicket { token: next.token, ticket: String::new(), code: TypedCode::new(String::new()) };
        let FoundTicket { ticket, .. } = self.tickets.find_valid(client, &[TicketKind::SignIn], &presented).await?;
        let state: SignInState = self.tickets.data(&ticket)?;
        let user = ticket.user.clone().ok_or(CODE_INVALID)?;
        let step = state.steps.first().copied();
        let pending = PendingSignIn { ticket, user, state };
        match step {
            Some(SignInStep::ChoosePassword) => self.choose_password(ctx, client, pending, next.new_password).await,
            Some(SignInStep::VerifyEmail) if next.code.expose().is_empty() => {
                self.send_code(ctx, client, pending, &next.email).await
            }
            Some(SignInStep::VerifyEmail) => self.check_code(ctx, client, pending, &next.code).await,
            None => Err(CODE_INVALID),
        }
    }

    async fn choose_password(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: PendingSignIn,
        password: Password,
    ) -> Result<SignedIn> {
        let logins = self.store.read().await?.logins_of(&pending.user).await?;
        check_new_password(&password, &logins)?;
        let of = (&pending.ticket, &logins[..]);
        Box::pin(self.new_passwords.check_is_another(&self.passwords, of, &password, false)).await?;
        let phc = self.passwords.hash(password).await.map_err(hash_error)?;
        let actor = |subject: &str| actor(ctx, client, &pending.state, subject);
        self.new_passwords.set_by_ticket(client, &pending.ticket, &phc, actor).await?;
        self.advance(ctx, client, pending).await
    }

    /// Sends a code to an email address or, if the address is taken, a notice to its owner. The next challenge
    /// expects the code.
    async fn send_code(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: PendingSignIn,
        email: &str,
    ) -> Result<SignedIn> {
        let PendingSignIn { ticket, user, mut state } = pending;
        let login = Login::parse_email(email).map_err(|problem| Error::invalid("email", problem))?;
        let recipient = Recipient::of(&login).ok_or(CODE_INVALID)?;
        let asked = asked(ctx, client, &state.end_user());
        // The password was right, so the user asks.
        let counted = self.emails.count_request(login.canonical(), Asker::User(&user), &asked.address).await?;
        state.email = Some(email.to_owned());
        let owner = Some((&user, ticket.security_version));
        let next = self.tickets.issue(TicketKind::SignIn, &client.id, owner, &state)?;
        let arrived = Instant::now();
        let to = Addressee { recipient, language: Language::default(), asked };
        counted.kept_if_done(self.queue_code(client, &ticket, &next, &login, to)).await?;
        wait_min_response_time(arrived).await;
        challenge(next, &state).map(SignedIn::Challenge)
    }

    /// Replaces the ticket of a sign-in by the next one, and queues the mail with its code.
    async fn queue_code(
        &self,
        client: &Client,
        ticket: &Ticket,
        next: &IssuedTicket,
        login: &Login,
        to: Addressee,
    ) -> Result<()> {
        let mut tx = self.store.write().await?;
        self.consume_ticket(&mut tx, ticket).await?;
        tx.ticket_insert(&next.ticket).await?;
        let taken = tx.user_by_login(login.canonical()).await?.is_some();
        let mut link_and_code = next.link_and_code(client);
        // A link would complete the sign-in itself, so only the code is sent.
        link_and_code.link = MailedSecret::new(String::new());
        let content = if taken { Content::AccountExists } else { Content::VerifyEmail(link_and_code) };
        self.emails.send(&mut tx, client, to, content).await?;
        tx.commit().await.map(|_| ())
    }

    async fn check_code(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: PendingSignIn,
        code: &TypedCode,
    ) -> Result<SignedIn> {
        let PendingSignIn { ticket, user, state } = &pending;
        let email =
            state.email.as_ref().ok_or_else(|| Error::invalid("code", "must be empty: no code has been sent yet"))?;
        if ticket.attempts_left <= 0 || !is_code(code) {
            return Err(CODE_INVALID);
        }
        // Use up an attempt before checking the code, so that parallel guesses do not exceed the limit.
        let mut tx = self.store.write().await?;
        let left = tx.ticket_attempt(&ticket.id, self.live.now()).await?;
        tx.commit().await?;
        if left.is_none() || !self.tickets.code_matches(ticket, code) {
            return Err(CODE_INVALID);
        }
        let login = Login::parse(email).map_err(|e| Error::Internal(Box::new(e)))?;
        let now = self.live.now();
        let mut tx = self.store.write().await?;
        if !tx.user_touch(user, Some(ticket.security_version), now).await? {
            return Err(CODE_INVALID);
        }
        self.consume_ticket(&mut tx, ticket).await?;
        let subject = tx.user_by_id(user).await?.ok_or(CODE_INVALID)?.subject;
        self.emails.replace(&mut tx, client, user, &[], &login).await?;
        let actor = actor(ctx, client, state, &subject);
        tx.audit(now, AuditKind::EmailChanged, &actor, &subject, json!({ "step": true })).await?;
        tx.commit().await?;
        self.advance(ctx, client, pending).await
    }

    async fn consume_ticket(&self, tx: &mut Tx, ticket: &Ticket) -> Result<()> {
        if tx.ticket_use(&ticket.id, self.live.now()).await? { Ok(()) } else { Err(CODE_INVALID) }
    }

    /// After a completed step: returns the next challenge, or opens the session. The client may have lost the
    /// audience meanwhile.
    async fn advance(&self, ctx: &RequestContext, client: &Client, pending: PendingSignIn) -> Result<SignedIn> {
        let PendingSignIn { user, mut state, .. } = pending;
        if !state.steps.is_empty() {
            state.steps.remove(0);
        }
        let mut tx = self.store.read().await?;
        let user = tx.user_by_id(&user).await?.filter(|u| u.disabled_at.is_none()).ok_or(CODE_INVALID)?;
        if !state.steps.is_empty() {
            drop(tx);
            return self.challenge(client, &user, state).await.map(SignedIn::Challenge);
        }
        let roles = tx.roles_of_user(&user.id).await?;
        drop(tx);
        let verified = VerifiedUser { user, roles, rehash: None, must_change: false };
        let audience = audience_of(client, state.audience.as_str())?.clone();
        let end_user = state.end_user();
        let granted = Granted { audience, scopes: state.scopes };
        let device = (state.device.label.as_str(), &end_user);
        self.open_session(ctx, client, verified, device, &granted).await.map(SignedIn::Tokens)
    }
}

/// The user who takes a step, for the audit log.
fn actor(ctx: &RequestContext, client: &Client, state: &SignInState, subject: &str) -> Actor {
    let address = end_user_address(ctx, client, &state.end_user()).to_owned();
    Actor { client: Some(client.id.to_string()), address, ..Actor::named(subject) }
}

fn challenge(issued: IssuedTicket, state: &SignInState) -> Result<Challenge> {
    let step = state.steps.first().copied().ok_or(CODE_INVALID)?;
    let expires_at = issued.ticket.expires_at;
    Ok(Challenge { step, token: issued.token, expires_at, sent_to: state.email.clone() })
}
