//! Rules for every typed or chosen password.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::Instant;

use super::{emails::Emails, limits::Limits, ticket_turn::TicketTurn, tickets::CODE_INVALID};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        client::{Client, Grant},
        end_user::EndUser,
        login::Login,
        mail::Asked,
        password_policy::{PasswordPolicy, SAME_PASSWORD},
        session::RevokedCause,
        ticket::Ticket,
        user::User,
    },
    error::{Error, Reason, Result},
    passwords::{HashError, PasswordVerdict, Passwords, Phc},
    secret::Password,
    service::{access::RequestContext, runtime::Live},
    store::{By, Revoke, Store},
};

/// Refusals are sent no earlier than this after the call arrived, so that timing does not reveal the cause.
const MIN_RESPONSE_TIME: Duration = Duration::from_millis(100);

/// Waits until the minimum response time has passed since `arrived`.
pub(super) async fn wait_min_response_time(arrived: Instant) {
    tokio::time::sleep_until(arrived + MIN_RESPONSE_TIME).await;
}

/// Fails if the client may not handle passwords.
pub(in crate::service) fn check_may_handle_passwords(client: &Client) -> Result<()> {
    if client.may(Grant::DirectLogin) && client.config.first_party {
        return Ok(());
    }
    let text = "the client lacks the grant direct_login or is not first-party";
    Err(Error::Denied(Reason::ClientNotAllowed, text.to_owned()))
}

/// Maps a hashing failure to an error.
pub(in crate::service) fn hash_error(error: HashError) -> Error {
    match error {
        HashError::Busy { after } => Error::Throttled { after },
        HashError::AccountBusy { after } => Error::SignInInProgress { after },
        HashError::Gone => Error::DeadlineExceeded,
        other => Error::Internal(Box::new(other)),
    }
}

/// Tells operators about a stored hash that cannot be checked. The caller learns only that the password is wrong.
pub(super) fn warn_if_unusable(verdict: &PasswordVerdict, subject: &str) {
    if let PasswordVerdict::Unusable(problem) = verdict {
        tracing::warn!(subject, %problem, "a user cannot sign in, but can reset the password");
    }
}

/// Fails if a new password is too weak for somebody with so many second factors.
pub(super) fn check_new_password(password: &Password, logins: &[String], second_factors: i64) -> Result<()> {
    let context: Vec<&str> = logins.iter().map(String::as_str).collect();
    PasswordPolicy::beside(second_factors)
        .check(password, &context)
        .map_err(|problem| Error::invalid("new_password", problem.to_string()))
}

/// The address that counts as the end user's: the one that a trusted client states, or else that of the connection.
pub(super) fn end_user_address<'a>(ctx: &'a RequestContext, client: &Client, stated: &'a EndUser) -> &'a str {
    if client.may_report_end_user() && !stated.address().is_empty() { stated.address() } else { &ctx.peer }
}

/// Where the end user calls from, as far as it is known. A public client runs on their device, so that its connection is
/// theirs. A confidential one is a server of its own, which says nothing about them unless it is trusted to.
pub(super) fn known_end_user(ctx: &RequestContext, client: &Client, stated: &EndUser) -> EndUser {
    if client.may_report_end_user() {
        stated.clone()
    } else if client.secret.is_none() {
        EndUser::of_connection(&ctx.peer, &ctx.user_agent)
    } else {
        EndUser::default()
    }
}

/// When and through what an end user asks for a mail.
pub(super) fn asked(ctx: &RequestContext, client: &Client, stated: &EndUser) -> Asked {
    let user_agent = known_end_user(ctx, client, stated).user_agent().to_owned();
    let address = end_user_address(ctx, client, stated).to_owned();
    Asked { at: Some(ctx.now), address, user_agent }
}

/// Sets passwords chosen by users. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::service) struct NewPasswords {
    store: Store,
    live: Arc<Live>,
    limits: Limits,
    emails: Emails,
}

impl NewPasswords {
    pub(in crate::service) fn new(store: Store, live: Arc<Live>, limits: Limits, emails: Emails) -> Self {
        Self { store, live, limits, emails }
    }

    /// Fails if the new password is the one that it has to replace, because somebody else knows it: a temporary one, or
    /// any if an administrator wants another. A wrong guess uses up the ticket, and a ticket that the account has
    /// outlived learns nothing, so that this is no way to guess a password.
    pub(super) async fn check_is_another(
        &self,
        passwords: &Passwords,
        (ticket, logins): (&Ticket, &[String]),
        new: &Password,
        by_administrator: bool,
    ) -> Result<()> {
        let Some(canonical) = logins.first().and_then(|login| Login::canonical_for_lookup(login)) else {
            return Ok(());
        };
        let found = self.store.read().await?.user_by_login(&canonical).await?;
        let found = found.filter(|found| {
            ticket.user.as_ref() == Some(&found.user.id) && ticket.security_version == found.user.security_version
        });
        let stored = found.filter(|found| by_administrator || found.must_change).and_then(|found| found.password);
        let Some(stored) = stored else { return Ok(()) };
        if passwords.is_stored(new, stored).await.map_err(hash_error)? {
            return Err(Error::invalid("new_password", SAME_PASSWORD));
        }
        Ok(())
    }

    /// Sets a password and takes the ticket. Ends every session of the user, and notifies every email address.
    pub(super) async fn set_by_ticket(
        &self,
        client: &Client,
        (ticket, turn): (&Ticket, TicketTurn<'_>),
        phc: &Phc,
        actor: impl Fn(&str) -> Actor,
    ) -> Result<usize> {
        let id = ticket.user.as_ref().ok_or(CODE_INVALID)?;
        let now = self.live.now();
        let mut tx = self.store.write().await?;
        let unchanged = tx.user_touch(id, Some(ticket.security_version), now).await?;
        let user = if unchanged { tx.user_by_id(id).await? } else { None };
        let Some(User { subject, language, .. }) = user.filter(|u| u.disabled_at.is_none()) else {
            return Err(CODE_INVALID);
        };
        tx.password_set(id, phc, now).await?;
        turn.take(&mut tx, ticket, now).await?;
        let logins = tx.logins_of(id).await?;
        self.limits.clear_logins(&mut tx, &logins).await?;
        self.emails.send_password_changed(&mut tx, client, (&logins, language.as_ref()), now).await?;
        let (settings, actor) = (self.live.snapshot().settings.clone(), actor(&subject));
        let by = By { actor: &actor, cause: RevokedCause::PasswordSet, settings: &settings, now };
        let ended = tx.revoke(Revoke::SessionsOf { user: id, but: None }, &by).await?;
        tx.audit(now, AuditKind::PasswordSet, &actor, &subject, json!({ "by": ticket.kind.as_str() })).await?;
        self.live.commit(tx).await?;
        Ok(ended)
    }
}
