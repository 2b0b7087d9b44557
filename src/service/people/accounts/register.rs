//! Registration and email verification.

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use tokio::time::Instant;

use super::Accounts;
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        client::Client,
        login::Login,
        mail::Content,
        password_policy::PasswordPolicy,
        ticket::{Ticket, TicketKind},
        user::User,
    },
    error::{Error, Reason, Result, Violations},
    id::UserId,
    passwords::Phc,
    secret::Password,
    service::{
        access::{ClientCredentials, RequestContext},
        people::{
            emails::{Addressee, parse_language, parse_recipient},
            new_passwords::{check_may_handle_passwords, end_user_address, hash_error, wait_min_response_time},
            tickets::{CODE_INVALID, PendingTicket, PresentedTicket},
        },
    },
    store::NewUser,
};

/// A registration request.
#[derive(Debug)]
pub struct RegisterInput {
    /// The client id from the request.
    pub client_id: String,
    /// The address.
    pub email: String,
    /// The user name; empty means none.
    pub name: String,
    /// The password.
    pub password: Password,
    /// The language of the mail; empty means English.
    pub language: String,
    /// The end user's address as reported by the client.
    pub address: String,
}

/// An account waiting for email verification.
#[derive(Serialize, Deserialize)]
struct PendingAccount {
    email: String,
    name: String,
    phc: String,
}

/// An address waiting for verification.
#[derive(Serialize, Deserialize)]
pub(super) struct PendingEmail {
    pub(super) email: String,
}

impl Accounts {
    /// Registers an account. If the address is free, a code is mailed to it; otherwise its owner is notified. The
    /// caller cannot tell which.
    ///
    /// # Errors
    /// Reports every invalid field at once; [`Reason::ClientNotAllowed`] if the client does not allow registration.
    pub async fn register(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        input: RegisterInput,
    ) -> Result<PendingTicket> {
        let client = self.callers.client_of(ctx, credentials, &input.client_id).await?;
        check_may_handle_passwords(&client)?;
        if !client.config.registration {
            let text = "the client does not allow registration";
            return Err(Error::Denied(Reason::ClientNotAllowed, text.to_owned()));
        }
        let email = validate(&input)?;
        let language = parse_language(&input.language)?;
        self.emails.count_request(&client, email.canonical(), end_user_address(ctx, &client, &input.address)).await?;
        let arrived = Instant::now();
        let phc = self.passwords.hash(input.password).await.map_err(hash_error)?;
        ctx.check_deadline()?;
        let data = PendingAccount { email: input.email, name: input.name, phc: phc.as_str().to_owned() };
        let issued = self.tickets.issue(TicketKind::Register, &client.id, None, &data)?;
        let mut tx = self.store.write().await?;
        let taken = tx.user_by_login(email.canonical()).await?.is_some();
        tx.ticket_insert(&issued.ticket).await?;
        let recipient =
            parse_recipient(email.display()).ok_or_else(|| Error::invalid("email", "must be an email address"))?;
        // If the address is taken, its owner is notified and the ticket's code is sent to nobody.
        let content = if taken { Content::AccountExists } else { Content::VerifyEmail(issued.link_and_code(&client)) };
        self.emails.send(&mut tx, &client, Addressee { recipient, language }, content).await?;
        tx.commit().await?;
        wait_min_response_time(arrived).await;
        Ok(issued.pending())
    }

    /// Verifies an address with the mailed code or link: creates the registered account, or changes the user's
    /// address. Returns the address.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`]; [`Error::Exists`] if the user name was taken meanwhile.
    pub async fn verify_email(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        client_id: &str,
        presented: &PresentedTicket,
    ) -> Result<String> {
        let client = self.callers.client_of(ctx, credentials, client_id).await?;
        check_may_handle_passwords(&client)?;
        let arrived = Instant::now();
        let result = async {
            let ticket =
                self.tickets.find_valid(&client, &[TicketKind::Register, TicketKind::VerifyEmail], presented).await?;
            if ticket.kind == TicketKind::Register {
                self.open_account(ctx, &client, &ticket).await
            } else {
                self.change_email(ctx, &client, &ticket).await
            }
        };
        let result = result.await;
        if result.is_err() {
            wait_min_response_time(arrived).await;
        }
        result
    }

    async fn open_account(&self, ctx: &RequestContext, client: &Client, ticket: &Ticket) -> Result<String> {
        let PendingAccount { email, name, phc } = self.tickets.data(ticket)?;
        let parse = |text: &str| Login::parse(text).map_err(|e| Error::Internal(Box::new(e)));
        let mut logins = vec![parse(&email)?];
        if !name.is_empty() {
            logins.push(parse(&name)?);
        }
        let now = self.live.now();
        let id = UserId::new(now, &*self.entropy);
        let subject = id.as_str().to_owned();
        let user =
            User { id, subject, attributes: Map::new(), security_version: 1, disabled_at: None, created_at: now };
        let new = NewUser { user, logins, password: Some(Phc::from_database(phc)) };
        let mut tx = self.store.write().await?;
        if !tx.ticket_use(&ticket.id, now).await? {
            return Err(CODE_INVALID);
        }
        if let Some(taken) = tx.user_insert(&new).await? {
            return Err(taken.into());
        }
        let subject = &new.user.subject;
        let actor = Actor { client: Some(client.id.to_string()), address: ctx.peer.clone(), ..Actor::named(subject) };
        tx.audit(now, AuditKind::UserRegistered, &actor, subject, json!({})).await?;
        tx.commit().await?;
        Ok(email)
    }

    /// Replaces the user's addresses with the verified one, and notifies the old and the new ones.
    async fn change_email(&self, ctx: &RequestContext, client: &Client, ticket: &Ticket) -> Result<String> {
        let PendingEmail { email } = self.tickets.data(ticket)?;
        let login = Login::parse(&email).map_err(|e| Error::Internal(Box::new(e)))?;
        let user = ticket.user.clone().ok_or(CODE_INVALID)?;
        let now = self.live.now();
        let mut tx = self.store.write().await?;
        // Check the account's version first: the ticket is invalid after any other change.
        if !tx.user_touch(&user, Some(ticket.security_version), now).await? || !tx.ticket_use(&ticket.id, now).await? {
            return Err(CODE_INVALID);
        }
        let subject = tx.user_by_id(&user).await?.ok_or(CODE_INVALID)?.subject;
        let old = tx.logins_of(&user).await?;
        self.emails.replace(&mut tx, client, &user, &old, &login).await?;
        let actor = Actor { client: Some(client.id.to_string()), address: ctx.peer.clone(), ..Actor::named(&subject) };
        tx.audit(now, AuditKind::EmailChanged, &actor, &subject, json!({})).await?;
        tx.commit().await?;
        Ok(email)
    }
}

/// Validates the request; returns the address, or all violations.
fn validate(input: &RegisterInput) -> Result<Login> {
    let mut violations = Violations::default();
    let email = violations.take("email", Login::parse_email(&input.email));
    if !input.name.is_empty() {
        violations.take("name", Login::parse_name(&input.name));
    }
    violations.take("password", PasswordPolicy::default().check(&input.password, &[&input.email, &input.name]));
    violations.into_result(())?;
    email.ok_or_else(|| Error::invalid("email", "must be an email address"))
}
