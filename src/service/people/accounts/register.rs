//! Registration.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    Accounts,
    once::{Once, Turn},
    visit::Visit,
};
use crate::{
    domain::{
        client::Client,
        end_user::EndUser,
        login::Login,
        mail::{Asked, Content, Recipient},
        password_policy::PasswordPolicy,
        ticket::TicketKind,
    },
    error::{Error, Reason, Result, Violations},
    id::{SessionId, TicketId},
    secret::{Password, RefreshToken},
    service::{
        access::{ClientCredentials, RequestContext},
        people::{
            emails::{Addressee, Asker, MailLanguage, parse_language, parse_recipient},
            guest_tokens::guest_of_token,
            new_passwords::{asked, check_may_handle_passwords, hash_error, wait_min_response_time},
            tickets::PendingTicket,
        },
    },
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
    /// The language of the mail and of the account; empty means that of the page, or English.
    pub language: String,
    /// The end user's address as reported by the client.
    pub address: String,
    /// The end user's user agent as reported by the client.
    pub user_agent: String,
}

/// An account waiting for email verification.
#[derive(Serialize, Deserialize)]
pub(super) struct PendingAccount {
    pub(super) email: String,
    pub(super) name: String,
    pub(super) phc: String,
    /// The language of the request, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) language: Option<String>,
    /// The browser in which the request was made, if it was made at a site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) visit: Option<Visit>,
    /// The session of the guest who has asked for it, and will be its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) guest: Option<SessionId>,
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
        self.register_guest(ctx, credentials, input, &RefreshToken::new(String::new())).await
    }

    /// Does what [`Accounts::register`] does for a guest, given the guest's refresh token: the account will have the
    /// guest's subject, and what the guest has stored.
    ///
    /// # Errors
    /// As [`Accounts::register`]; the documented refresh reasons for the token.
    pub async fn register_guest(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        input: RegisterInput,
        guest_token: &RefreshToken,
    ) -> Result<PendingTicket> {
        let client = self.callers.client_of(ctx, credentials, &input.client_id).await?;
        check_may_handle_passwords(&client)?;
        check_registration(&client)?;
        let (email, end_user) = validate(&input)?;
        let guest = match guest_token.expose() {
            "" => None,
            _ => Some(self.guest(ctx, &client, guest_token).await?),
        };
        let asked = asked(ctx, &client, &end_user);
        self.register_as_asked(ctx, &client, (input, email, guest), (asked, None)).await
    }

    /// The session of a guest who asks for an account.
    async fn guest(&self, ctx: &RequestContext, client: &Client, token: &RefreshToken) -> Result<SessionId> {
        let grace = self.live.snapshot().settings.refresh_grace;
        let mut tx = self.store.read().await?;
        let found = guest_of_token(&mut tx, &self.sealing, (client, token), (ctx.now, grace)).await?;
        match found.revoked {
            // Of another account.
            Some((_, cause)) => Err(Error::Ended { cause: cause.as_str() }),
            None => Ok(found.id),
        }
    }

    /// Does what [`Accounts::register`] does for a request that has been checked.
    pub(super) async fn register_as_asked(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (input, email, guest): (RegisterInput, Login, Option<SessionId>),
        (asked, from): (Asked, Option<(Visit, &Once)>),
    ) -> Result<PendingTicket> {
        let language = MailLanguage::of(ctx, parse_language(&input.language)?);
        let recipient =
            parse_recipient(email.display()).ok_or_else(|| Error::invalid("email", "must be an email address"))?;
        let (visit, once) = from.unzip();
        let id = match self.turn(client, once).await? {
            Turn::Repeated(pending) => return Ok(pending),
            Turn::First(id) => id,
        };
        let counted = self.emails.count_request(email.canonical(), Asker::Unknown, &asked.address).await?;
        let arrived = Instant::now();
        let queued =
            self.queue_registration(ctx, client, (id, input, email, (visit, guest)), (recipient, language, asked));
        let pending = counted.kept_if_done(queued).await?;
        wait_min_response_time(arrived).await;
        Ok(pending)
    }

    /// Queues the mail of a registration. It makes earlier ones of the same address void, in the same transaction: so
    /// nobody can confirm a password that somebody else chose, and none is void without a newer mail.
    async fn queue_registration(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (id, input, email, (visit, guest)): (TicketId, RegisterInput, Login, (Option<Visit>, Option<SessionId>)),
        (recipient, language, asked): (Recipient, MailLanguage, Asked),
    ) -> Result<PendingTicket> {
        let phc = self.passwords.hash(input.password).await.map_err(hash_error)?;
        ctx.check_deadline()?;
        let data = PendingAccount {
            email: input.email,
            name: input.name,
            phc: phc.as_str().to_owned(),
            language: language.of_new_user().map(|language| language.as_str().to_owned()),
            visit,
            guest,
        };
        let mut issued = self.tickets.issue_as(id, (TicketKind::Register, &client.id), None, &data)?;
        let topic = self.tickets.registration_topic(&email);
        issued.ticket.topic = Some(topic);
        let mut tx = self.store.write().await?;
        let owner = tx.user_by_login(email.canonical()).await?;
        tx.tickets_void(&topic, self.live.now()).await?;
        if !tx.ticket_insert_once(&issued.ticket).await? {
            // The same is asked for at another process at this moment.
            return Ok(issued.pending());
        }
        // If the address is taken, its owner is notified and the ticket's code is sent to nobody.
        let content = match &owner {
            Some(_) => Content::AccountExists,
            None => Content::VerifyEmail(issued.link_and_code(client)),
        };
        let language = language.for_owner(owner.and_then(|owner| owner.user.language).as_ref());
        let to = Addressee { recipient, language, asked };
        self.emails.send(&mut tx, client, to, content).await?;
        tx.commit().await?;
        Ok(issued.pending())
    }
}

/// Fails if nobody may register through the client.
pub(super) fn check_registration(client: &Client) -> Result<()> {
    if client.config.registration {
        return Ok(());
    }
    let text = "the client does not allow registration";
    Err(Error::Denied(Reason::ClientNotAllowed, text.to_owned()))
}

/// Validates the request; returns the address and who asks, or all violations.
pub(super) fn validate(input: &RegisterInput) -> Result<(Login, EndUser)> {
    let mut violations = Violations::default();
    let end_user = violations.absorb(EndUser::parse(&input.address, &input.user_agent))?;
    let email = violations.take("email", Login::parse_email(&input.email));
    if !input.name.is_empty() {
        violations.take("name", Login::parse_name(&input.name));
    }
    violations.take("password", PasswordPolicy::default().check(&input.password, &[&input.email, &input.name]));
    violations.into_result(())?;
    let email = email.ok_or_else(|| Error::invalid("email", "must be an email address"))?;
    Ok((email, end_user))
}
