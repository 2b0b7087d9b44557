//! Password reset.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Accounts;
use crate::{
    domain::{
        audit::Actor,
        client::Client,
        end_user::EndUser,
        limit::{LimitKey, LimitKind},
        login::Login,
        mail::{Asked, Content, Language, Recipient},
        ticket::{Ticket, TicketKind},
    },
    error::{Error, Result},
    id::UserId,
    keys::KnownDevice,
    secret::{DeviceToken, Password},
    service::{
        access::{ClientCredentials, RequestContext},
        people::{
            emails::{Addressee, Asker, parse_language, parse_recipient},
            new_passwords::{
                asked, check_may_handle_passwords, check_new_password, hash_error, wait_min_response_time,
            },
            tickets::{CODE_INVALID, FoundTicket, PendingTicket, PresentedTicket},
        },
    },
};

/// The recipient of the decoy mail for an unknown account. It is never sent, because it has already expired when it
/// is queued.
const NOBODY: &str = "nobody@chancery.invalid";

/// A request for a password reset mail.
#[derive(Clone, Copy, Debug)]
pub struct ResetRequest<'a> {
    /// The client id from the request.
    pub client_id: &'a str,
    /// User name or email address.
    pub login: &'a str,
    /// The language of the mail; empty means English.
    pub language: &'a str,
    /// The end user's address as reported by the client.
    pub address: &'a str,
    /// The end user's user agent as reported by the client.
    pub user_agent: &'a str,
    /// The device token from an earlier sign-in.
    pub device_token: Option<&'a DeviceToken>,
}

/// Who has started a reset, in its ticket; nothing if that was whoever says to be the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::service) enum ResetBy {
    /// An administrator.
    Administrator,
}

/// A password reset with a code or link.
#[derive(Debug)]
pub struct PasswordReset {
    /// The client id from the request.
    pub client_id: String,
    /// The code or link.
    pub presented: PresentedTicket,
    /// The new password.
    pub password: Password,
}

impl Accounts {
    /// Requests a password reset. If the account exists, a mail goes to the address that was typed, or to the primary
    /// address if a name was. The caller cannot tell
    /// whether it exists: both cases do the same reads and writes.
    ///
    /// # Errors
    /// A field violation; the client may not handle passwords.
    pub async fn request_password_reset(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        request: ResetRequest<'_>,
    ) -> Result<PendingTicket> {
        let client = self.callers.client_of(ctx, credentials, request.client_id).await?;
        check_may_handle_passwords(&client)?;
        let login = request.login;
        if login.is_empty() || login.len() > 1024 {
            return Err(Error::invalid("login", "must be 1 to 1024 bytes"));
        }
        let language = parse_language(request.language)?;
        let asked = asked(ctx, &client, &EndUser::parse(request.address, request.user_agent)?);
        let device = self.known_device(login, request.device_token).await?;
        let who = device.as_ref().map_or(Asker::Unknown, Asker::KnownDevice);
        let counted = self.emails.count_request(login, who, &asked.address).await?;
        let arrived = Instant::now();
        let pending = counted.kept_if_done(self.send_reset(&client, login, (language, asked))).await?;
        wait_min_response_time(arrived).await;
        Ok(pending)
    }

    /// The key of the device's count, if the user who has this login has signed in on it.
    async fn known_device(&self, login: &str, token: Option<&DeviceToken>) -> Result<Option<LimitKey>> {
        let account = self.limits.key_of_login(LimitKind::Account, login);
        let parse = |token| KnownDevice::parse(&self.sealing, token, &account, self.live.now());
        let Some(device) = token.and_then(parse) else { return Ok(None) };
        let canonical = Login::canonical_for_lookup(login).unwrap_or_default();
        let owner = self.store.read().await?.user_by_login(&canonical).await?;
        let known = owner.is_some_and(|o| device.is_of(&self.sealing, &o.user.id));
        Ok(known.then(|| device.limit_key(&self.sealing, &account)))
    }

    async fn send_reset(
        &self,
        client: &Client,
        login: &str,
        (language, asked): (Language, Asked),
    ) -> Result<PendingTicket> {
        let canonical = Login::canonical_for_lookup(login);
        let now = self.live.now();
        let mut tx = self.store.write().await?;
        let found = tx.user_by_login(canonical.as_deref().unwrap_or("")).await?.map(|f| f.user);
        let found = found.filter(|user| user.disabled_at.is_none());
        let id = found.as_ref().map_or_else(|| UserId::new(now, &*self.entropy), |user| user.id.clone());
        let logins = tx.logins_of(&id).await?;
        // Send to the stored address, never to the typed one. The first of the addresses is the primary one.
        let typed = |l: &&String| Login::canonical_for_lookup(l) == canonical;
        let kept = logins.iter().find(typed).and_then(|l| parse_recipient(l));
        let to = kept.or_else(|| logins.iter().find_map(|l| parse_recipient(l)));
        let owner = found.as_ref().zip(to.as_ref()).map(|(user, _)| (&user.id, user.security_version));
        let issued = self.tickets.issue(TicketKind::PasswordReset, &client.id, owner, &())?;
        tx.ticket_insert(&issued.ticket).await?;
        let mut link_and_code = issued.link_and_code(client);
        let to = if let Some(to) = to {
            to
        } else {
            link_and_code.expires_at = now;
            NOBODY.parse::<Recipient>().map_err(|e| Error::Internal(Box::new(e)))?
        };
        let to = Addressee { recipient: to, language, asked };
        self.emails.send(&mut tx, client, to, Content::PasswordReset(link_and_code)).await?;
        tx.commit().await?;
        Ok(issued.pending())
    }

    /// Sets the password of the account that the code or link belongs to, and ends its sessions.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`](crate::error::Reason::CodeInvalid), or a violation by the new password.
    pub async fn reset_password(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        reset: PasswordReset,
    ) -> Result<usize> {
        let PasswordReset { client_id, presented, password } = reset;
        let client = self.callers.client_of(ctx, credentials, &client_id).await?;
        check_may_handle_passwords(&client)?;
        // Check the rules that are the same for everybody before looking at the code.
        check_new_password(&password, &[])?;
        let arrived = Instant::now();
        let result = async {
            let kinds = [TicketKind::PasswordReset, TicketKind::Invitation];
            let FoundTicket { ticket, .. } = self.tickets.find_valid(&client, &kinds, &presented).await?;
            self.reset(ctx, &client, &ticket, password).await
        };
        let result = result.await;
        if result.is_err() {
            wait_min_response_time(arrived).await;
        }
        result
    }

    async fn reset(&self, ctx: &RequestContext, client: &Client, ticket: &Ticket, password: Password) -> Result<usize> {
        let user = ticket.user.as_ref().ok_or(CODE_INVALID)?;
        let logins = self.store.read().await?.logins_of(user).await?;
        check_new_password(&password, &logins)?;
        let by: Option<ResetBy> = self.tickets.data(ticket)?;
        let of = (ticket, &logins[..]);
        Box::pin(self.new_passwords.check_is_another(&self.passwords, of, &password, by.is_some())).await?;
        let phc = self.passwords.hash(password).await.map_err(hash_error)?;
        let actor = |subject: &str| Actor {
            client: Some(client.id.to_string()),
            address: ctx.peer.clone(),
            ..Actor::named(subject)
        };
        self.new_passwords.set_by_ticket(client, ticket, &phc, actor).await
    }
}
