//! Email verification. A code or link proves that its reader has the address, not that they made the request: a stranger
//! may have registered with the address and a password of their own, and a user may have mistyped it. Who made the
//! request shows the ticket that they were given.

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use tokio::time::Instant;

use super::{Accounts, register::PendingAccount};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        client::Client,
        login::Login,
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
            new_passwords::{check_may_handle_passwords, check_new_password, hash_error, wait_min_response_time},
            tickets::{CODE_INVALID, FoundTicket, PresentedTicket},
        },
    },
    store::NewUser,
};

/// An address waiting for verification.
#[derive(Serialize, Deserialize)]
pub(super) struct PendingEmail {
    pub(super) email: String,
}

/// A verification of an address.
#[derive(Debug)]
pub struct VerifyEmailInput {
    /// The client id from the request.
    pub client_id: String,
    /// The code or link.
    pub presented: PresentedTicket,
    /// A password for the new account instead of the one in the request; empty means none.
    pub new_password: Password,
    /// A user name for the new account instead of the one in the request; empty means no name.
    pub name: Option<String>,
}

impl Accounts {
    /// Verifies an address with the mailed code or link: creates the registered account, or changes the user's
    /// address. Returns the address.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`]; [`Reason::NewPasswordRequired`] or [`Reason::OwnTokenRequired`] if the caller has not
    /// shown the ticket; [`Error::Exists`] if the user name was taken meanwhile. All but the first leave the code and
    /// the link valid.
    pub async fn verify_email(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        input: VerifyEmailInput,
    ) -> Result<String> {
        let client = self.callers.client_of(ctx, credentials, &input.client_id).await?;
        check_may_handle_passwords(&client)?;
        // Check the rules that are the same for everybody before looking at the code.
        check_choices(&input)?;
        let arrived = Instant::now();
        let result = async {
            let kinds = [TicketKind::Register, TicketKind::VerifyEmail];
            let found = self.tickets.find_valid(&client, &kinds, &input.presented).await?;
            if found.ticket.kind == TicketKind::Register {
                self.open_account(ctx, &client, found, input).await
            } else {
                self.change_email(ctx, &client, found, credentials).await
            }
        };
        let result = result.await;
        if result.is_err() {
            wait_min_response_time(arrived).await;
        }
        result
    }

    /// Opens an account. Without the ticket of the person who registered, nothing that they chose is taken over: the
    /// reader of the mail chooses the password, and the name if there is to be one.
    async fn open_account(
        &self,
        ctx: &RequestContext,
        client: &Client,
        found: FoundTicket,
        input: VerifyEmailInput,
    ) -> Result<String> {
        let FoundTicket { ticket, by_asker } = found;
        let PendingAccount { email, name, phc } = self.tickets.data(&ticket)?;
        let VerifyEmailInput { new_password, name: chosen, .. } = input;
        let email_login = stored(&email)?;
        let name = match chosen {
            Some(name) => name,
            None if by_asker => name,
            None => String::new(),
        };
        let mut logins = vec![email_login.clone()];
        if !name.is_empty() {
            logins.push(stored(&name)?);
        }
        let phc = if !new_password.expose().is_empty() {
            check_new_password(&new_password, &[email.clone(), name])?;
            self.passwords.hash(new_password).await.map_err(hash_error)?
        } else if by_asker {
            Phc::from_database(phc)
        } else {
            return Err(Error::Needs(Reason::NewPasswordRequired));
        };
        self.insert_account(ctx, client, &ticket, (logins, phc)).await?;
        Ok(email)
    }

    async fn insert_account(
        &self,
        ctx: &RequestContext,
        client: &Client,
        ticket: &Ticket,
        (logins, phc): (Vec<Login>, Phc),
    ) -> Result<()> {
        let now = self.live.now();
        let id = UserId::new(now, &*self.entropy);
        let subject = id.as_str().to_owned();
        let user =
            User { id, subject, attributes: Map::new(), security_version: 1, disabled_at: None, created_at: now };
        let new = NewUser { user, logins, password: Some(phc) };
        let mut tx = self.store.write().await?;
        if !tx.ticket_use(&ticket.id, now).await? {
            return Err(CODE_INVALID);
        }
        if let Some(topic) = &ticket.topic {
            tx.tickets_void(topic, now).await?;
        }
        if let Some(taken) = tx.user_insert(&new).await? {
            return Err(taken.into());
        }
        let subject = &new.user.subject;
        let actor = Actor { client: Some(client.id.to_string()), address: ctx.peer.clone(), ..Actor::named(subject) };
        tx.audit(now, AuditKind::UserRegistered, &actor, subject, json!({})).await?;
        tx.commit().await.map(|_| ())
    }

    /// Replaces the user's addresses with the verified one, and notifies the old and the new ones. If the address was
    /// mistyped, its owner reads the link: that alone must not give them the account.
    async fn change_email(
        &self,
        ctx: &RequestContext,
        client: &Client,
        found: FoundTicket,
        credentials: &ClientCredentials,
    ) -> Result<String> {
        let FoundTicket { ticket, by_asker } = found;
        let PendingEmail { email } = self.tickets.data(&ticket)?;
        let login = stored(&email)?;
        let user = ticket.user.clone().ok_or(CODE_INVALID)?;
        let mut tx = if by_asker {
            self.store.write().await?
        } else {
            let ClientCredentials::Bearer(_) = credentials else { return Err(Error::Needs(Reason::OwnTokenRequired)) };
            let me = self.callers.me(ctx, credentials).await?;
            if me.user != user {
                return Err(Error::Needs(Reason::OwnTokenRequired));
            }
            me.write(&self.store).await?
        };
        let now = self.live.now();
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

/// A login that was valid when it was sealed, or has just been checked.
fn stored(text: &str) -> Result<Login> {
    Login::parse(text).map_err(|e| Error::Internal(Box::new(e)))
}

/// Fails if the chosen password is too weak, or the chosen name is no name.
fn check_choices(input: &VerifyEmailInput) -> Result<()> {
    if !input.new_password.expose().is_empty() {
        check_new_password(&input.new_password, &[])?;
    }
    let mut violations = Violations::default();
    if let Some(name) = input.name.as_deref().filter(|name| !name.is_empty()) {
        violations.take("name", Login::parse_name(name));
    }
    violations.into_result(())
}
