//! Password resets by administrators.

use serde_json::json;

use super::{LockedUser, Users};
use crate::{
    domain::{
        audit::AuditKind,
        client::Client,
        mail::{Asked, Content},
        session::RevokedCause,
        ticket::TicketKind,
    },
    error::{Error, Result},
    service::{
        access::Admin,
        people::{Addressee, IssuedTicket, ResetBy, check_may_handle_passwords, parse_recipient},
        tokens::SessionsEnded,
    },
};

/// Whose password to reset, and through which client.
#[derive(Clone, Copy, Debug)]
pub struct UserPasswordReset<'a> {
    /// The user: id, login or subject.
    pub user: &'a str,
    /// The client whose link template is used.
    pub client_id: &'a str,
    /// Whether the current password stays valid until then.
    pub keep_current: bool,
}

/// The result of a reset by an administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetStarted {
    /// The sessions that were ended.
    pub ended: SessionsEnded,
    /// Whether a mail was queued: always.
    pub mailed: bool,
}

impl Users {
    /// Mails the user a link and code to choose a new password. Unless `keep_current` is set, the current password is
    /// deleted and the user's sessions end. Nothing is taken away from users who could not get it back.
    ///
    /// # Errors
    /// [`Error::NotFound`]; a violation of `client_id` if no password can be chosen through the client;
    /// [`Error::Precondition`] if the user has no address or is disabled; the user has permissions that the caller lacks.
    pub async fn start_reset(&self, admin: &Admin, reset: UserPasswordReset<'_>) -> Result<ResetStarted> {
        let UserPasswordReset { user, client_id, keep_current: keep } = reset;
        let client = self.live.client(client_id)?;
        check_client(&client)?;
        let LockedUser { mut tx, found, now } = self.begin_change(admin, user, None).await?;
        let id = &found.user.id;
        if found.user.disabled_at.is_some() {
            return Err(Error::Precondition("the user is disabled; enable the user first".to_owned()));
        }
        let Some(recipient) = found.logins.iter().find_map(|l| parse_recipient(l)) else {
            return Err(Error::Precondition("the user has no email address to write to".to_owned()));
        };
        let mut ended = SessionsEnded { sessions: 0, token_end: None };
        let kind = match tx.password_of(id).await? {
            Some(_) => TicketKind::PasswordReset,
            None => TicketKind::Invitation,
        };
        if !keep {
            tx.password_delete(id).await?;
            ended = self.end_all_sessions(&mut tx, admin, id, RevokedCause::PasswordSet, now).await?;
        }
        // `begin_change` has updated the version: the ticket is bound to the new one.
        let version = found.user.security_version;
        let issued = self.tickets.issue(kind, &client.id, Some((id, version)), &ResetBy::Administrator)?;
        tx.ticket_insert(&issued.ticket).await?;
        let content = content(kind, &issued, &client, admin);
        let asked = Asked { at: Some(now), ..Asked::default() };
        let language = found.user.language.clone().unwrap_or_default();
        let to = Addressee { recipient, language, asked };
        self.emails.send(&mut tx, &client, to, content).await?;
        let details = json!({ "reset": true, "kept": keep, "mailed": true });
        tx.audit(now, AuditKind::PasswordResetStarted, &admin.actor, &found.user.subject, details).await?;
        self.live.commit(tx).await?;
        Ok(ResetStarted { ended, mailed: true })
    }
}

/// Fails if nobody can choose a password through the client with what the mail has.
fn check_client(client: &Client) -> Result<()> {
    let problem = if client.disabled_at.is_some() {
        "is a disabled client; no password can be chosen through it"
    } else if client.config.site.is_some() && client.config.first_party {
        return Ok(());
    } else if check_may_handle_passwords(client).is_err() {
        "must be a first-party client with the grant direct_login or a site; no password can be chosen through others"
    } else if client.config.link_template.is_none() {
        // Codes go with a ticket, which only somebody who asks for a mail is given.
        "must be a client with a site or a link template: without a link, the user cannot choose a password"
    } else {
        return Ok(());
    };
    Err(Error::invalid("client_id", problem))
}

fn content(kind: TicketKind, issued: &IssuedTicket, client: &Client, admin: &Admin) -> Content {
    match kind {
        TicketKind::Invitation => {
            Content::Invitation { way: issued.link_and_code(client), by: admin.actor.name.clone() }
        }
        _ => Content::PasswordReset(issued.link_and_code(client)),
    }
}
