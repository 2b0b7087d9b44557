//! Password reset.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    Accounts,
    once::{Once, Turn},
    visit::Visit,
};
use crate::{
    domain::{
        audit::Actor,
        client::Client,
        end_user::EndUser,
        limit::{LimitKey, LimitKind},
        login::Login,
        mail::{Asked, Content, Recipient},
        ticket::{Ticket, TicketKind},
    },
    error::{Error, Result, Violations},
    id::{TicketId, UserId, VisitorId},
    keys::KnownDevice,
    secret::{DeviceToken, Password},
    service::{
        access::{ClientCredentials, RequestContext},
        people::{
            emails::{Addressee, Asker, MailLanguage, parse_language, parse_recipient},
            limits::name_of_login,
            new_passwords::{
                asked, check_may_handle_passwords, check_new_password, hash_error, wait_min_response_time,
            },
            ticket_turn::TicketTurn,
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
    /// The language of the mail; empty means the user's own, or English.
    pub language: &'a str,
    /// The end user's address as reported by the client.
    pub address: &'a str,
    /// The end user's user agent as reported by the client.
    pub user_agent: &'a str,
    /// The device token from an earlier sign-in.
    pub device_token: Option<&'a DeviceToken>,
}

/// The tickets that let their reader choose a password.
pub(super) const RESET_KINDS: [TicketKind; 2] = [TicketKind::PasswordReset, TicketKind::Invitation];

/// Who has started a reset, in its ticket; nothing if that was a client for whoever says to be the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::service) enum ResetBy {
    /// An administrator.
    Administrator,
    /// Whoever says to be the owner, in a browser.
    Visitor(Visit),
}

/// A password was reset.
#[derive(Debug)]
pub(super) struct ResetDone {
    pub(super) sessions_ended: usize,
    pub(super) by: Option<ResetBy>,
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
        check_login(login)?;
        let language = MailLanguage::of(ctx, parse_language(request.language)?);
        let asked = asked(ctx, &client, &EndUser::parse(request.address, request.user_agent)?);
        let devices = request.device_token.map(std::slice::from_ref).unwrap_or_default();
        self.send_reset_as_asked(&client, (login, devices), (language, asked), None).await
    }

    /// Does what [`Accounts::request_password_reset`] does for a request that has been checked.
    pub(super) async fn send_reset_as_asked(
        &self,
        client: &Client,
        (login, device_tokens): (&str, &[DeviceToken]),
        (language, asked): (MailLanguage, Asked),
        from: Option<(Visit, &Once)>,
    ) -> Result<PendingTicket> {
        let (visit, once) = from.unzip();
        let id = match self.turn(client, once).await? {
            Turn::Repeated(pending) => return Ok(pending),
            Turn::First(id) => id,
        };
        let by = visit.map(ResetBy::Visitor);
        let device = self.known_device(login, device_tokens).await?;
        let who = device.as_ref().map_or(Asker::Unknown, Asker::KnownDevice);
        let counted = self.emails.count_request(login, who, &asked.address).await?;
        let arrived = Instant::now();
        let pending = counted.kept_if_done(self.send_reset(client, (id, login), (language, asked), by)).await?;
        wait_min_response_time(arrived).await;
        Ok(pending)
    }

    /// The key of the device's count, if the user who has this login has signed in on it.
    async fn known_device(&self, login: &str, tokens: &[DeviceToken]) -> Result<Option<LimitKey>> {
        let name = name_of_login(login);
        let parse = |token| KnownDevice::parse(&self.sealing, token, &name, self.live.now());
        let Some(device) = tokens.iter().find_map(parse) else { return Ok(None) };
        let canonical = Login::canonical_for_lookup(login).unwrap_or_default();
        let owner = self.store.read().await?.user_by_login(&canonical).await?;
        let known = owner.is_some_and(|o| device.is_of(&self.sealing, &o.user.id));
        Ok(known.then(|| device.limit_key(&self.sealing, &self.limits.key(LimitKind::Account, &name))))
    }

    async fn send_reset(
        &self,
        client: &Client,
        (id, login): (TicketId, &str),
        (language, asked): (MailLanguage, Asked),
        by: Option<ResetBy>,
    ) -> Result<PendingTicket> {
        let canonical = Login::canonical_for_lookup(login);
        let now = self.live.now();
        let mut tx = self.store.write().await?;
        let found = tx.user_by_login(canonical.as_deref().unwrap_or("")).await?.map(|f| f.user);
        let found = found.filter(|user| user.disabled_at.is_none());
        let user_id = found.as_ref().map_or_else(|| UserId::new(now, &*self.entropy), |user| user.id.clone());
        let logins = tx.logins_of(&user_id).await?;
        // Send to the stored address, never to the typed one. The first of the addresses is the primary one.
        let typed = |l: &&String| Login::canonical_for_lookup(l) == canonical;
        let kept = logins.iter().find(typed).and_then(|l| parse_recipient(l));
        let to = kept.or_else(|| logins.iter().find_map(|l| parse_recipient(l)));
        let owner = found.as_ref().zip(to.as_ref()).map(|(user, _)| (&user.id, user.security_version));
        let issued = self.tickets.issue_as(id, (TicketKind::PasswordReset, &client.id), owner, &by)?;
        if !tx.ticket_insert_once(&issued.ticket).await? {
            // The same is asked for at another process at this moment.
            return Ok(issued.pending());
        }
        let mut link_and_code = issued.link_and_code(client);
        let to = if let Some(to) = to {
            to
        } else {
            link_and_code.expires_at = now;
            NOBODY.parse::<Recipient>().map_err(|e| Error::Internal(Box::new(e)))?
        };
        let language = language.for_reader(found.as_ref().and_then(|user| user.language.as_ref()));
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
        let done = self.reset_by_ticket(ctx, &client, (&presented, None), password).await?;
        Ok(done.sessions_ended)
    }

    /// Does what [`Accounts::reset_password`] does for a client that has been checked.
    pub(super) async fn reset_by_ticket(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (presented, proof): (&PresentedTicket, Option<&[u8; 32]>),
        password: Password,
    ) -> Result<ResetDone> {
        // Check the rules that are the same for everybody before looking at the code.
        check_new_password(&password, &[], SOME)?;
        let arrived = Instant::now();
        let result = async {
            let FoundTicket { ticket, .. } = self.tickets.find_valid(client, &RESET_KINDS, presented).await?;
            self.reset(ctx, client, (&ticket, proof), password).await
        };
        let result = result.await;
        if result.is_err() {
            wait_min_response_time(arrived).await;
        }
        result
    }

    async fn reset(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (ticket, proof): (&Ticket, Option<&[u8; 32]>),
        password: Password,
    ) -> Result<ResetDone> {
        let user = ticket.user.as_ref().ok_or(CODE_INVALID)?;
        let mut tx = self.store.read().await?;
        let logins = tx.logins_of(user).await?;
        let second_factors = tx.user_by_id(user).await?.map_or(0, |user| user.second_factors);
        drop(tx);
        check_new_password(&password, &logins, second_factors)?;
        let by: Option<ResetBy> = self.tickets.data(ticket)?;
        let by_administrator = by == Some(ResetBy::Administrator);
        let of = (ticket, &logins[..]);
        Box::pin(self.new_passwords.check_is_another(&self.passwords, of, &password, by_administrator)).await?;
        let phc = self.passwords.hash(password).await.map_err(hash_error)?;
        let actor = |subject: &str| Actor {
            client: Some(client.id.to_string()),
            address: ctx.peer.clone(),
            ..Actor::named(subject)
        };
        let turn = proof.map_or(TicketTurn::Use, TicketTurn::UseFor);
        let sessions_ended = self.new_passwords.set_by_ticket(client, (ticket, turn), &phc, actor).await?;
        Ok(ResetDone { sessions_ended, by })
    }
}

/// As many second factors as somebody may have who is not known yet.
const SOME: i64 = 1;

/// Fails if the text is longer than any login, or empty.
pub(super) fn check_login(login: &str) -> Result<()> {
    let mut wrong = Violations::default();
    wrong.require(!login.is_empty(), "login", "must not be empty");
    wrong.require(login.len() <= 1024, "login", "must be at most 1024 bytes");
    wrong.into_result(())
}

/// Where a visitor was going who has asked for a new password in this browser; empty for the site's home.
pub(super) fn way_of(by: Option<ResetBy>, visitor: &VisitorId) -> String {
    let visit: Option<Visit> = if let Some(ResetBy::Visitor(visit)) = by { Some(visit) } else { None };
    visit.filter(|visit| visit.is_of(visitor)).map(|visit| visit.return_to).unwrap_or_default()
}
