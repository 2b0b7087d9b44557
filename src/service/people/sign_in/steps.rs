//! Multi-step sign-ins: the server, not the client, keeps the steps left between a correct password and tokens. Each
//! step can be completed once.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{
    Device, Goal, Granted, SignInCall, SignIns, SignedIn, Typed, VerifiedUser,
    goal::StateAtPage,
    opening::{Opened, Spend},
};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        client::Client,
        end_user::EndUser,
        login::Login,
        mail::{Asked, Content, Recipient},
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
            emails::{Addressee, Asker, MailLanguage},
            new_passwords::{check_may_handle_passwords, check_new_password, hash_error, wait_min_response_time},
            person::Person,
            ticket_turn::TicketTurn,
            tickets::{CODE_INVALID, FoundTicket, IssuedTicket, PresentedTicket, is_code},
        },
        tokens::audience_of,
    },
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
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SignInState {
    /// The steps that are left; the first one is next.
    pub(super) steps: Vec<SignInStep>,
    /// The audience of the tokens; none in a browser.
    audience: Option<Audience>,
    scopes: Vec<Scope>,
    device: Device,
    /// The email address that a code was sent to.
    pub(super) email: Option<String>,
    /// What it leads to, if that is a session behind a cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at_page: Option<StateAtPage>,
}

impl SignInState {
    pub(super) fn new(steps: Vec<SignInStep>, call: &SignInCall<'_>, typed: &Typed<'_>) -> Self {
        let (audience, scopes, at_page) = match &call.goal {
            Goal::Tokens(Granted { audience, scopes }) => (Some(audience.clone()), scopes.clone(), None),
            Goal::Browser(goal) => (None, Vec::new(), Some(StateAtPage::new(goal, typed.login))),
        };
        Self { steps, audience, scopes, device: call.device.clone(), email: None, at_page }
    }

    /// The user who takes the steps. What an application has stated at the first one was checked then.
    pub(super) fn person(&self, ctx: &RequestContext, client: &Client) -> Person {
        let stated = || EndUser::parse(&self.device.address, &self.device.user_agent).unwrap_or_default();
        if self.at_page.is_some() { Person::at_browser(ctx) } else { Person::behind(ctx, client, &stated()) }
    }

    /// The call that opens the session. The client may have lost the audience meanwhile.
    pub(super) fn into_call<'a>(self, ctx: &RequestContext, client: &'a Client) -> Result<SignInCall<'a>> {
        let person = self.person(ctx, client);
        let goal = match (self.at_page, self.audience) {
            (Some(at_page), _) => Goal::Browser(at_page.goal),
            (None, Some(audience)) => {
                let audience = audience_of(client, audience.as_str())?.clone();
                Goal::Tokens(Granted { audience, scopes: self.scopes })
            }
            (None, None) => return Err(CODE_INVALID),
        };
        Ok(SignInCall { client, person, device: self.device, goal })
    }
}

/// A sign-in whose next step is being completed.
pub(super) struct PendingSignIn {
    pub(super) ticket: Ticket,
    pub(super) user: UserId,
    pub(super) state: SignInState,
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
            Some(SignInStep::ChoosePassword) => {
                self.choose_password(ctx, client, &pending, next.new_password, TicketTurn::Use).await?;
            }
            Some(SignInStep::VerifyEmail) if next.code.expose().is_empty() => {
                return self.send_code(ctx, client, pending, &next.email).await;
            }
            Some(SignInStep::VerifyEmail) => {
                self.check_code(ctx, client, &pending, &next.code, TicketTurn::Use).await?;
            }
            None => return Err(CODE_INVALID),
        }
        self.advance(ctx, client, pending).await
    }

    /// Sets the password that replaces the user's, and takes the ticket of this step.
    pub(super) async fn choose_password(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: &PendingSignIn,
        password: Password,
        turn: TicketTurn<'_>,
    ) -> Result<()> {
        let logins = self.store.read().await?.logins_of(&pending.user).await?;
        check_new_password(&password, &logins)?;
        let of = (&pending.ticket, &logins[..]);
        Box::pin(self.new_passwords.check_is_another(&self.passwords, of, &password, false)).await?;
        let phc = self.passwords.hash(password).await.map_err(hash_error)?;
        let actor = |subject: &str| actor(ctx, client, &pending.state, subject);
        self.new_passwords.set_by_ticket(client, (&pending.ticket, turn), &phc, actor).await.map(|_| ())
    }

    /// Sends a code to an email address. The next challenge expects the code.
    async fn send_code(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: PendingSignIn,
        email: &str,
    ) -> Result<SignedIn> {
        let PendingSignIn { ticket, user, mut state } = pending;
        state.email = Some(email.to_owned());
        let owner = Some((&user, ticket.security_version));
        let next = self.tickets.issue(TicketKind::SignIn, &client.id, owner, &state)?;
        let person = state.person(ctx, client);
        let sending = SentCode { ctx, client, person: &person, user: &user, email };
        self.mail_code(sending, (&ticket, TicketTurn::ReplaceBy(&next.ticket)), &next).await?;
        challenge(next, &state).map(SignedIn::Challenge)
    }

    /// Mails a code or, if the address is taken, a notice to its owner, and takes the ticket of this step.
    pub(super) async fn mail_code(
        &self,
        sending: SentCode<'_>,
        (ticket, turn): (&Ticket, TicketTurn<'_>),
        code: &IssuedTicket,
    ) -> Result<()> {
        let SentCode { ctx, client, person, user, email } = sending;
        let login = Login::parse_email(email).map_err(|problem| Error::invalid("email", problem))?;
        let recipient = Recipient::of(&login).ok_or(CODE_INVALID)?;
        let asked = person.asked(ctx);
        // The password was right, so the user asks.
        let counted = self.emails.count_request(login.canonical(), Asker::User(user), &asked.address).await?;
        let arrived = Instant::now();
        let to = (recipient, MailLanguage::of(ctx, None), asked);
        counted.kept_if_done(self.queue_code((client, user), (ticket, turn), code, &login, to)).await?;
        wait_min_response_time(arrived).await;
        Ok(())
    }

    /// Takes the ticket of this step, and queues the mail with the code of the next one.
    async fn queue_code(
        &self,
        (client, user): (&Client, &UserId),
        (ticket, turn): (&Ticket, TicketTurn<'_>),
        code: &IssuedTicket,
        login: &Login,
        (recipient, language, asked): (Recipient, MailLanguage, Asked),
    ) -> Result<()> {
        let mut tx = self.store.write().await?;
        turn.take(&mut tx, ticket, self.live.now()).await?;
        let owner = tx.user_by_login(login.canonical()).await?;
        let mut link_and_code = code.link_and_code(client);
        // A link would complete the sign-in itself, so only the code is sent.
        link_and_code.link = MailedSecret::new(String::new());
        let (content, language) = if let Some(owner) = owner {
            (Content::AccountExists, language.for_owner(owner.user.language.as_ref()))
        } else {
            let own = tx.user_by_id(user).await?.and_then(|user| user.language);
            (Content::VerifyEmail(link_and_code), language.for_reader(own.as_ref()))
        };
        let to = Addressee { recipient, language, asked };
        self.emails.send(&mut tx, client, to, content).await?;
        tx.commit().await.map(|_| ())
    }

    /// Checks a code, makes its address the user's, and takes the ticket of this step.
    pub(super) async fn check_code(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: &PendingSignIn,
        code: &TypedCode,
        turn: TicketTurn<'_>,
    ) -> Result<()> {
        let PendingSignIn { ticket, user, state } = pending;
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
        turn.take(&mut tx, ticket, now).await?;
        let user = tx.user_by_id(user).await?.ok_or(CODE_INVALID)?;
        self.emails.replace(&mut tx, client, (&user, &[]), &login).await?;
        let subject = user.subject;
        let actor = actor(ctx, client, state, &subject);
        tx.audit(now, AuditKind::EmailChanged, &actor, &subject, json!({ "step": true })).await?;
        tx.commit().await.map(|_| ())
    }

    /// After a completed step: returns the next challenge, or opens the session.
    async fn advance(&self, ctx: &RequestContext, client: &Client, pending: PendingSignIn) -> Result<SignedIn> {
        let PendingSignIn { user, mut state, .. } = pending;
        if !state.steps.is_empty() {
            state.steps.remove(0);
        }
        let verified = self.still_verified(&user).await?;
        if !state.steps.is_empty() {
            return self.challenge(client, &verified.user, state).await.map(SignedIn::Challenge);
        }
        let call = state.into_call(ctx, client)?;
        match self.open_session(ctx, &call, verified, Spend::default()).await? {
            Opened::Session(opened) => self.first_tokens(&call, *opened).await.map(SignedIn::Tokens),
            Opened::Spent | Opened::BasisEnded => Err(CODE_INVALID),
        }
    }

    /// A user who has taken a step, as they are now.
    pub(super) async fn still_verified(&self, user: &UserId) -> Result<VerifiedUser> {
        let mut tx = self.store.read().await?;
        let user = tx.user_by_id(user).await?.filter(|u| u.disabled_at.is_none()).ok_or(CODE_INVALID)?;
        let roles = tx.roles_of_user(&user.id).await?;
        Ok(VerifiedUser { user, roles, rehash: None, must_change: false })
    }
}

/// A code that the user has asked for.
pub(super) struct SentCode<'a> {
    pub(super) ctx: &'a RequestContext,
    pub(super) client: &'a Client,
    pub(super) person: &'a Person,
    pub(super) user: &'a UserId,
    /// Where it is sent.
    pub(super) email: &'a str,
}

/// The user who takes a step, for the audit log.
fn actor(ctx: &RequestContext, client: &Client, state: &SignInState, subject: &str) -> Actor {
    let address = state.person(ctx, client).address().to_owned();
    Actor { client: Some(client.id.to_string()), address, ..Actor::named(subject) }
}

fn challenge(issued: IssuedTicket, state: &SignInState) -> Result<Challenge> {
    let step = state.steps.first().copied().ok_or(CODE_INVALID)?;
    let expires_at = issued.ticket.expires_at;
    Ok(Challenge { step, token: issued.token, expires_at, sent_to: state.email.clone() })
}
