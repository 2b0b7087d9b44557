//! Password resets by administrators.

use serde_json::json;

use super::{LockedUser, Users};
use crate::{
    domain::{
        audit::AuditKind,
        client::Client,
        mail::{Asked, Content, Language},
        session::RevokedCause,
        ticket::TicketKind,
    },
    error::Result,
    service::{
        access::Admin,
        people::{Addressee, IssuedTicket, parse_recipient},
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
    /// Whether there was an email address to write to.
    pub mailed: bool,
}

impl Users {
    /// Mails the user a link and code to choose a new password. Unless `keep_current` is set, the current password is
    /// deleted and the user's sessions end.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound); the user has permissions that the caller lacks.
    pub async fn start_reset(&self, admin: &Admin, reset: UserPasswordReset<'_>) -> Result<ResetStarted> {
        let UserPasswordReset { user, client_id, keep_current: keep } = reset;
        let client = self.live.client(client_id)?;
        let LockedUser { mut tx, found, now } = self.begin_change(admin, user, None).await?;
        let id = &found.user.id;
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
        let issued = self.tickets.issue(kind, &client.id, Some((id, version)), &())?;
        tx.ticket_insert(&issued.ticket).await?;
        let to = found.logins.iter().find_map(|l| parse_recipient(l));
        let mailed = to.is_some();
        if let Some(recipient) = to {
            let content = content(kind, &issued, &client, admin);
            let asked = Asked { at: Some(now), ..Asked::default() };
            let to = Addressee { recipient, language: Language::default(), asked };
            self.emails.send(&mut tx, &client, to, content).await?;
        }
        let details = json!({ "reset": true, "kept": keep, "mailed": mailed });
        tx.audit(now, AuditKind::PasswordResetStarted, &admin.actor, &found.user.subject, details).await?;
        self.live.commit(tx).await?;
        Ok(ResetStarted { ended, mailed })
    }
}

fn content(kind: TicketKind, issued: &IssuedTicket, client: &Client, admin: &Admin) -> Content {
    match kind {
        TicketKind::Invitation => {
            Content::Invitation { way: issued.link_and_code(client), by: admin.actor.name.clone() }
        }
        _ => Content::PasswordReset(issued.link_and_code(client)),
    }
}
