//! Choosing a new password without the old one.

use serde_json::json;
use tokio::time::Instant;

use super::{NOBODY, language, may_handle_passwords, no_earlier, recipient};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        client::Client,
        login::Login,
        mail::{Content, Language, Recipient},
        password_policy::PasswordPolicy,
        session::RevokedCause,
        ticket::{MOST_OF_A_KIND, Ticket, TicketKind},
        user::User,
    },
    error::{Error, Result},
    id::UserId,
    passwords::Phc,
    secret::Password,
    service::{
        Admin, ClientCredentials, RequestContext, Service,
        sign_in::hash_failure,
        tickets::{CODE_INVALID, Issued, Pending, Presented},
    },
    store::{By, Revoke, SessionFilter},
};

impl Service {
    /// Asks for a new password: if there is such an account, a mail goes to an address of it. The caller
    /// cannot tell whether there is: everything that is read and written has its match.
    ///
    /// # Errors
    /// A violation of a field; the client may not handle passwords.
    pub async fn request_password_reset(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        (client_id, address): (&str, &str),
        (login, language_tag): (&str, &str),
    ) -> Result<Pending> {
        let client = self.client_of(ctx, credentials, client_id).await?;
        may_handle_passwords(&client)?;
        if login.is_empty() || login.len() > 1024 {
            return Err(Error::invalid("login", "must be 1 to 1024 bytes"));
        }
        let language = language(language_tag)?;
        self.count_mail(&client, login, Self::address_of(ctx, &client, address)).await?;
        let arrived = Instant::now();
        let pending = self.send_reset(&client, login, language).await?;
        no_earlier(arrived).await;
        Ok(pending)
    }

    async fn send_reset(&self, client: &Client, login: &str, language: Language) -> Result<Pending> {
        let canonical = Login::canonical_for_lookup(login);
        let now = self.now();
        let mut tx = self.store.write().await?;
        let found = tx.user_by_login(canonical.as_deref().unwrap_or("")).await?.map(|f| f.user);
        let found = found.filter(|user| user.disabled_at.is_none());
        let id = found.as_ref().map_or_else(|| UserId::new(now, &*self.entropy), |user| user.id.clone());
        let logins = tx.logins_of(&id).await?;
        let live = tx.tickets_live(&id, TicketKind::PasswordReset, now).await?;
        // To the address that is kept, never to the one that was typed.
        let typed = |l: &&String| Login::canonical_for_lookup(l) == canonical;
        let kept = logins.iter().find(typed).and_then(|l| recipient(l));
        let to = kept.or_else(|| logins.iter().find_map(|l| recipient(l))).filter(|_| live < MOST_OF_A_KIND);
        let owner = found.as_ref().zip(to.as_ref()).map(|(user, _)| (&user.id, user.security_version));
        let issued = self.new_ticket(TicketKind::PasswordReset, &client.id, owner, &())?;
        tx.ticket_insert(&issued.ticket).await?;
        let mut way = issued.way(client);
        let to = if let Some(to) = to {
            to
        } else {
            way.expires_at = now;
            NOBODY.parse::<Recipient>().map_err(|e| Error::Internal(Box::new(e)))?
        };
        self.mail_to(&mut tx, client, (to, language), Content::PasswordReset(way)).await?;
        tx.commit().await?;
        Ok(issued.pending())
    }

    /// Sets the password of the account that the code or link was mailed for, and ends its sessions.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`](crate::error::Reason::CodeInvalid), or what is wrong with the password.
    pub async fn reset_password(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        (client_id, presented): (&str, &Presented),
        password: Password,
    ) -> Result<usize> {
        let client = self.client_of(ctx, credentials, client_id).await?;
        may_handle_passwords(&client)?;
        // What is wrong for everybody is told before a code is looked at.
        check_password(&password, &[])?;
        let arrived = Instant::now();
        let done = async {
            let kinds = [TicketKind::PasswordReset, TicketKind::Invitation];
            let ticket = self.present(&client, &kinds, presented).await?;
            self.reset(ctx, &client, &ticket, password).await
        };
        let done = done.await;
        if done.is_err() {
            no_earlier(arrived).await;
        }
        done
    }

    async fn reset(&self, ctx: &RequestContext, client: &Client, ticket: &Ticket, password: Password) -> Result<usize> {
        let user = ticket.user.clone().ok_or(CODE_INVALID)?;
        let logins = self.store.read().await?.logins_of(&user).await?;
        check_password(&password, &logins)?;
        let phc = self.passwords.hash(password).await.map_err(hash_failure)?;
        let actor = |subject: &str| Actor {
            client: Some(client.id.to_string()),
            address: ctx.peer.clone(),
            ..Actor::named(subject)
        };
        self.set_password_by(ticket, &user, &phc, actor).await
    }

    /// Sets a password by a ticket, which is used up: every session ends, every address is told.
    pub(in crate::service) async fn set_password_by(
        &self,
        ticket: &Ticket,
        id: &UserId,
        phc: &Phc,
        actor: impl Fn(&str) -> Actor,
    ) -> Result<usize> {
        let now = self.now();
        let mut tx = self.store.write().await?;
        let held = tx.user_touch(id, Some(ticket.security_version), now).await?;
        let user = if held { tx.user_by_id(id).await? } else { None };
        let Some(User { subject, .. }) = user.filter(|u| u.disabled_at.is_none()) else { return Err(CODE_INVALID) };
        if !tx.ticket_use(&ticket.id, now).await? {
            return Err(CODE_INVALID);
        }
        tx.password_set(id, phc, now).await?;
        let logins = tx.logins_of(id).await?;
        self.limits.clear_logins(&mut tx, &logins).await?;
        self.mail_password_changed(&mut tx, &logins, now).await?;
        let (settings, actor) = (self.live.snapshot().settings.clone(), actor(&subject));
        let by = By { actor: &actor, cause: RevokedCause::PasswordSet, settings: &settings, now };
        let ended = tx.revoke(Revoke::SessionsOf { user: id, but: None }, &by).await?;
        tx.audit(now, AuditKind::PasswordSet, &actor, &subject, json!({ "by": ticket.kind.as_str() })).await?;
        if tx.commit().await? {
            self.live.confirm().await?;
        }
        Ok(ended)
    }

    /// Makes a user choose a new password, by a mail; gives the number of sessions that were ended, and
    /// whether there was an address to write to. The password that counts till then is taken away, unless it
    /// may stay.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the user may do what the caller may not.
    pub async fn user_start_reset(
        &self,
        admin: &Admin,
        (user, client_id): (&str, &str),
        keep: bool,
    ) -> Result<(usize, bool)> {
        let client = self.client_find(client_id)?;
        let (mut tx, found, now) = self.change_user(admin, user, None).await?;
        let id = &found.user.id;
        let mut ended = 0;
        let kind = match tx.password_of(id).await? {
            Some(_) => TicketKind::PasswordReset,
            None => TicketKind::Invitation,
        };
        if !keep {
            tx.password_delete(id).await?;
            ended = tx.sessions_of_user(id, SessionFilter::Live(now)).await?.len();
            self.end_all(&mut tx, admin, id, RevokedCause::PasswordSet, now).await?;
        }
        // The row was touched: the ticket is bound to what it is now.
        let version = found.user.security_version;
        let issued = self.new_ticket(kind, &client.id, Some((id, version)), &())?;
        tx.ticket_insert(&issued.ticket).await?;
        let to = found.logins.iter().find_map(|l| recipient(l));
        let mailed = to.is_some();
        if let Some(to) = to {
            let content = content(kind, &issued, &client, admin);
            self.mail_to(&mut tx, &client, (to, Language::default()), content).await?;
        }
        let details = json!({ "reset": true, "kept": keep, "mailed": mailed });
        tx.audit(now, AuditKind::PasswordResetStarted, &admin.actor, &found.user.subject, details).await?;
        if tx.commit().await? {
            self.live.confirm().await?;
        }
        Ok((ended, mailed))
    }
}

fn content(kind: TicketKind, issued: &Issued, client: &Client, admin: &Admin) -> Content {
    match kind {
        TicketKind::Invitation => Content::Invitation { way: issued.way(client), by: admin.actor.name.clone() },
        _ => Content::PasswordReset(issued.way(client)),
    }
}

/// What is wrong with a chosen password.
pub(in crate::service) fn check_password(password: &Password, logins: &[String]) -> Result<()> {
    let context: Vec<&str> = logins.iter().map(String::as_str).collect();
    PasswordPolicy::default()
        .check(password, &context)
        .map_err(|problem| Error::invalid("new_password", problem.to_string()))
}
