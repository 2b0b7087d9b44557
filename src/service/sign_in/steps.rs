//! Sign-ins of several steps: what stands between a right password and tokens is kept here, not by the
//! client, and each step is taken once.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{Granted, Proved, SignInRequest, SignedIn};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        client::Client,
        login::{Login, LoginKind},
        mail::{Content, Language, Mail, Recipient},
        scope::{Audience, Scope},
        ticket::{Ticket, TicketKind},
    },
    error::{Error, Result},
    secret::{DeviceToken, Password, TicketToken, TypedCode},
    service::{
        ClientCredentials, RequestContext, Service,
        accounts::{check_password, may_handle_passwords, no_earlier},
        sign_in::hash_failure,
        tickets::{CODE_INVALID, Issued, Presented},
    },
    store::Tx,
    time::Timestamp,
};

/// What a sign-in still needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Another password in place of one that counts no more.
    ChoosePassword,
    /// A proved address.
    VerifyEmail,
}

/// A step that the user has to take.
#[derive(Debug)]
pub struct Challenge {
    /// Which.
    pub step: Step,
    /// What the next call is to present.
    pub token: TicketToken,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The address that a code was sent to, if one was.
    pub sent_to: Option<String>,
}

/// The next step, as the client sends it.
#[derive(Debug)]
pub struct NextStep {
    /// The client, as it names itself.
    pub client_id: String,
    /// The token of the challenge.
    pub token: TicketToken,
    /// The password that was chosen.
    pub new_password: Password,
    /// The address that a code is to be sent to.
    pub email: String,
    /// The code that was sent.
    pub code: TypedCode,
}

/// A sign-in under way.
#[derive(Serialize, Deserialize)]
struct UnderWay {
    steps: Vec<Step>,
    audience: Audience,
    scopes: Vec<Scope>,
    device_label: String,
    address: String,
    user_agent: String,
    /// The address that a code was sent to.
    email: Option<String>,
}

impl Service {
    /// What stands between this user and tokens of this client.
    pub(super) async fn steps(&self, client: &Client, proved: &Proved) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        if proved.must_change {
            steps.push(Step::ChoosePassword);
        }
        if client.config.require_email {
            let logins = self.store.read().await?.logins_of(&proved.user.id).await?;
            if !logins.iter().any(|l| l.contains('@')) {
                steps.push(Step::VerifyEmail);
            }
        }
        Ok(steps)
    }

    /// Keeps a sign-in that is not at its end.
    pub(super) async fn challenge(
        &self,
        client: &Client,
        (proved, steps): (&Proved, Vec<Step>),
        request: &SignInRequest,
        granted: &Granted,
    ) -> Result<Challenge> {
        let under_way = UnderWay {
            steps,
            audience: granted.audience.clone(),
            scopes: granted.scopes.clone(),
            device_label: request.device_label.clone(),
            address: request.address.clone(),
            user_agent: request.user_agent.clone(),
            email: None,
        };
        let user = Some((&proved.user.id, proved.user.security_version));
        let issued = self.new_ticket(TicketKind::SignIn, &client.id, user, &under_way)?;
        let mut tx = self.store.write().await?;
        tx.ticket_insert(&issued.ticket).await?;
        tx.commit().await?;
        told(issued, &under_way)
    }

    /// Takes the next step of a sign-in.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`](crate::error::Reason::CodeInvalid) if the challenge is not one that waits for
    /// this client; a violation of what the step needs.
    pub async fn continue_sign_in(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        next: NextStep,
    ) -> Result<SignedIn> {
        let client = self.client_of(ctx, credentials, &next.client_id).await?;
        may_handle_passwords(&client)?;
        self.live.for_signing()?;
        let arrived = Instant::now();
        let done = self.next_step(ctx, &client, next).await;
        if matches!(done, Err(Error::Unauthenticated(_))) {
            no_earlier(arrived).await;
        }
        done
    }

    async fn next_step(&self, ctx: &RequestContext, client: &Client, next: NextStep) -> Result<SignedIn> {
        let presented = Presented { token: next.token, ticket: String::new(), code: TypedCode::new(String::new()) };
        let ticket = self.present(client, &[TicketKind::SignIn], &presented).await?;
        let under_way: UnderWay = self.about(&ticket)?;
        match under_way.steps.first() {
            Some(Step::ChoosePassword) => {
                self.choose_password(ctx, client, (ticket, under_way), next.new_password).await
            }
            Some(Step::VerifyEmail) if next.code.expose().is_empty() => {
                self.send_code(ctx, client, (ticket, under_way), &next.email).await
            }
            Some(Step::VerifyEmail) => self.take_code(ctx, client, (ticket, under_way), &next.code).await,
            None => Err(CODE_INVALID),
        }
    }

    async fn choose_password(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (ticket, under_way): (Ticket, UnderWay),
        password: Password,
    ) -> Result<SignedIn> {
        let user = ticket.user.clone().ok_or(CODE_INVALID)?;
        let logins = self.store.read().await?.logins_of(&user).await?;
        check_password(&password, &logins)?;
        let phc = self.passwords.hash(password).await.map_err(hash_failure)?;
        let actor = |subject: &str| Actor {
            client: Some(client.id.to_string()),
            address: ctx.peer.clone(),
            ..Actor::named(subject)
        };
        self.set_password_by(&ticket, &user, &phc, actor).await?;
        self.go_on(ctx, client, &ticket, under_way).await
    }

    /// Sends a code to an address, or word to its owner if it is somebody's; the next challenge waits for it.
    async fn send_code(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (ticket, mut under_way): (Ticket, UnderWay),
        email: &str,
    ) -> Result<SignedIn> {
        let login = Login::parse(email).ok().filter(|l| l.kind() == LoginKind::Email);
        let login = login.ok_or_else(|| Error::invalid("email", "must be an email address"))?;
        let to = Recipient::of(&login).ok_or(CODE_INVALID)?;
        self.count_mail(client, login.canonical(), Self::address_of(ctx, client, &under_way.address)).await?;
        let user = ticket.user.clone().ok_or(CODE_INVALID)?;
        under_way.email = Some(email.to_owned());
        let next =
            self.new_ticket(TicketKind::SignIn, &client.id, Some((&user, ticket.security_version)), &under_way)?;
        let arrived = Instant::now();
        let mut tx = self.store.write().await?;
        self.used(&mut tx, &ticket).await?;
        tx.ticket_insert(&next.ticket).await?;
        let taken = tx.user_by_login(login.canonical()).await?.is_some();
        let mut way = next.way(client);
        // The link would be the sign-in itself: only the code goes out.
        way.link = crate::secret::MailedSecret::new(String::new());
        let content = if taken { Content::AccountExists } else { Content::VerifyEmail(way) };
        let (name, language) = (client.id.as_str().to_owned(), Language::default());
        self.mail(&mut tx, Mail { to, content, client: name, language }).await?;
        tx.commit().await?;
        no_earlier(arrived).await;
        told(next, &under_way).map(SignedIn::Challenge)
    }

    async fn take_code(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (ticket, under_way): (Ticket, UnderWay),
        code: &TypedCode,
    ) -> Result<SignedIn> {
        let email = under_way
            .email
            .clone()
            .ok_or_else(|| Error::invalid("code", "must be empty: no code has been sent yet"))?;
        // The attempt is taken before the code is looked at: many at once are no more guesses than one by one.
        let mut tx = self.store.write().await?;
        let left = tx.ticket_attempt(&ticket.id, self.now()).await?;
        tx.commit().await?;
        if left.is_none() || !self.code_is_right(&ticket, code) {
            return Err(CODE_INVALID);
        }
        let login = Login::parse(&email).map_err(|e| Error::Internal(Box::new(e)))?;
        let user = ticket.user.clone().ok_or(CODE_INVALID)?;
        let now = self.now();
        let mut tx = self.store.write().await?;
        if !tx.user_touch(&user, Some(ticket.security_version), now).await? {
            return Err(CODE_INVALID);
        }
        self.used(&mut tx, &ticket).await?;
        let subject = tx.user_by_id(&user).await?.ok_or(CODE_INVALID)?.subject;
        self.replace_email(&mut tx, client, (&user, &[]), &login).await?;
        let actor = Actor { client: Some(client.id.to_string()), address: ctx.peer.clone(), ..Actor::named(&subject) };
        tx.audit(now, AuditKind::EmailChanged, &actor, &subject, json!({ "step": true })).await?;
        tx.commit().await?;
        self.go_on(ctx, client, &ticket, under_way).await
    }

    async fn used(&self, tx: &mut Tx, ticket: &Ticket) -> Result<()> {
        if tx.ticket_use(&ticket.id, self.now()).await? { Ok(()) } else { Err(CODE_INVALID) }
    }

    /// The step is taken: the next challenge, or the session.
    async fn go_on(
        &self,
        ctx: &RequestContext,
        client: &Client,
        ticket: &Ticket,
        mut under_way: UnderWay,
    ) -> Result<SignedIn> {
        if !under_way.steps.is_empty() {
            under_way.steps.remove(0);
        }
        let user = ticket.user.clone().ok_or(CODE_INVALID)?;
        let mut tx = self.store.read().await?;
        let user = tx.user_by_id(&user).await?.filter(|u| u.disabled_at.is_none()).ok_or(CODE_INVALID)?;
        let roles = tx.roles_of_user(&user.id).await?;
        drop(tx);
        let proved = Proved { user, roles, rehash: None, must_change: false };
        let request = SignInRequest {
            client_id: client.id.as_str().to_owned(),
            login: String::new(),
            password: Password::new(String::new()),
            scopes: Vec::new(),
            audience: String::new(),
            device_label: under_way.device_label,
            address: under_way.address,
            user_agent: under_way.user_agent,
            device_token: DeviceToken::new(String::new()),
        };
        let granted = Granted { audience: under_way.audience, scopes: under_way.scopes };
        if under_way.steps.is_empty() {
            return self.open_session(ctx, client, proved, &request, &granted).await.map(SignedIn::Tokens);
        }
        self.challenge(client, (&proved, under_way.steps), &request, &granted).await.map(SignedIn::Challenge)
    }
}

fn told(issued: Issued, under_way: &UnderWay) -> Result<Challenge> {
    let step = under_way.steps.first().copied().ok_or(CODE_INVALID)?;
    let expires_at = issued.ticket.expires_at;
    Ok(Challenge { step, token: issued.token, expires_at, sent_to: under_way.email.clone() })
}
