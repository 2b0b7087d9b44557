//! What signed-in users do with their own accounts.

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{language, no_earlier, recipient, register::NewEmail, reset::check_password};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        client::Client,
        limit::LimitKind,
        login::{Login, LoginKind},
        mail::Content,
        session::{RevokedCause, Session},
        ticket::TicketKind,
        user::{MAX_ATTRIBUTES, MAX_DEPTH, is_deeper_than},
    },
    error::{Error, Reason, Result},
    id::SessionId,
    passwords::{Account, Applicant, Prefix, Verdict},
    secret::Password,
    service::{
        Caller, ClientCredentials, FRESH_SIGN_IN, Guesser, RequestContext, Service, UserView, sign_in::hash_failure,
        tickets::Pending,
    },
    store::{By, Revoke, SessionFilter, Tx},
};

/// The attribute that is the user's own; all others are the operator's.
const PROFILE: &str = "profile";

/// A signed-in user.
#[derive(Debug)]
pub struct Me {
    /// The user.
    pub view: UserView,
    /// The session whose token it presented.
    pub session: SessionId,
    client: String,
    actor: Actor,
}

/// What users may change of themselves; nothing else does.
#[derive(Debug, Default)]
pub struct MePatch {
    /// The user name; empty takes it away.
    pub name: Option<String>,
    /// The attribute `profile`.
    pub profile: Option<Map<String, Value>>,
    /// Another address: it counts once it is proved.
    pub email: Option<String>,
    /// The language of the mail.
    pub language: String,
}

impl Service {
    /// The user whose bearer token this is.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`].
    pub async fn me(&self, ctx: &RequestContext, credentials: &ClientCredentials) -> Result<Me> {
        const REFUSED: Error = Error::Unauthenticated(Reason::TokenInvalid);
        let ClientCredentials::Bearer(token) = credentials else { return Err(REFUSED) };
        let Caller { claims } = self.bearer(ctx, token).await?;
        let session = claims.session_id.as_deref().and_then(|sid| sid.parse().ok()).ok_or(REFUSED)?;
        let view = self.user_of_subject(&claims.subject).await?.ok_or(REFUSED)?;
        let client = claims.client_id.clone();
        let actor = Actor { client: Some(client.clone()), address: ctx.peer.clone(), ..Actor::named(&claims.subject) };
        Ok(Me { view, session, client, actor })
    }

    /// The user whose bearer token this is, if the sign-in is recent enough for a change of what signs the
    /// user in.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`], [`Reason::SignInTooOld`].
    pub async fn me_freshly(&self, ctx: &RequestContext, credentials: &ClientCredentials) -> Result<Me> {
        let me = self.me(ctx, credentials).await?;
        let session = self.store.read().await?.session_by_id(&me.session).await?;
        match session {
            Some(session) if ctx.now <= session.auth_time.plus(FRESH_SIGN_IN) => Ok(me),
            _ => Err(Error::Unauthenticated(Reason::SignInTooOld)),
        }
    }

    /// Changes what users may change of themselves. A new address is not taken over before it is proved: then
    /// a code is on its way to it.
    ///
    /// # Errors
    /// A violation of a field; [`Reason::SignInTooOld`] for name and address; [`Error::Exists`].
    pub async fn me_update(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        patch: MePatch,
    ) -> Result<(UserView, Option<Pending>)> {
        let me = if patch.name.is_some() || patch.email.is_some() {
            self.me_freshly(ctx, credentials).await?
        } else {
            self.me(ctx, credentials).await?
        };
        check_profile(patch.profile.as_ref())?;
        let email = patch.email.as_deref().map(email).transpose()?;
        let name = patch.name.as_deref().map(user_name).transpose()?;
        let arrived = Instant::now();
        if name.is_some() || patch.profile.is_some() {
            self.change_me(&me, name, patch.profile).await?;
        }
        let view = self.user_of_subject(&me.view.user.subject).await?.ok_or(Error::Conflict)?;
        let pending = match email {
            Some(email) => {
                let pending = self.send_proof(&me, &view, &email, &patch.language).await?;
                no_earlier(arrived).await;
                Some(pending)
            }
            None => None,
        };
        Ok((view, pending))
    }

    async fn change_me(&self, me: &Me, name: Option<Vec<Login>>, profile: Option<Map<String, Value>>) -> Result<()> {
        let (id, now) = (&me.view.user.id, self.now());
        let mut tx = self.store.write().await?;
        if !tx.user_touch(id, None, now).await? {
            return Err(Error::Unauthenticated(Reason::TokenInvalid));
        }
        if let Some(name) = name {
            tx.logins_delete(id, LoginKind::Name).await?;
            for login in name {
                if !tx.login_insert(id, &login).await? {
                    return Err(Error::Exists("login", login.display().to_owned()));
                }
            }
            if tx.logins_of(id).await?.is_empty() {
                return Err(Error::invalid("name", "must not be empty without an email address"));
            }
        }
        if let Some(profile) = profile {
            let mut user = tx.user_by_id(id).await?.ok_or(Error::Conflict)?;
            user.attributes.insert(PROFILE.to_owned(), Value::Object(profile));
            if Value::Object(user.attributes.clone()).to_string().len() > MAX_ATTRIBUTES {
                return Err(Error::invalid("profile", format!("leaves no room in {MAX_ATTRIBUTES} bytes")));
            }
            tx.user_set_attributes(id, &user.attributes).await?;
            self.remap_claims(&mut tx, &user, now).await?;
        }
        tx.audit(now, AuditKind::UserUpdated, &me.actor, &me.view.user.subject, json!({ "by": "user" })).await?;
        tx.commit().await.map(|_| ())
    }

    /// Sends a code to an address that is to be the user's; or word to its owner, if it is somebody's.
    async fn send_proof(&self, me: &Me, view: &UserView, email: &Login, language_tag: &str) -> Result<Pending> {
        let language = language(language_tag)?;
        let client: std::sync::Arc<Client> = self.client_find(&me.client)?;
        let about = NewEmail { email: email.display().to_owned() };
        let owner = Some((&view.user.id, view.user.security_version));
        let issued = self.new_ticket(TicketKind::VerifyEmail, &client.id, owner, &about)?;
        self.count_mail(&client, email.canonical(), &me.actor.address).await?;
        let to = recipient(email.display()).ok_or_else(|| Error::invalid("email", "must be an email address"))?;
        let mut tx = self.store.write().await?;
        let taken = tx.user_by_login(email.canonical()).await?.is_some_and(|f| f.user.id != view.user.id);
        tx.ticket_insert(&issued.ticket).await?;
        let content = if taken { Content::AccountExists } else { Content::VerifyEmail(issued.way(&client)) };
        self.mail_to(&mut tx, &client, (to, language), content).await?;
        tx.commit().await?;
        Ok(issued.pending())
    }

    /// Replaces the password by who knows it; every other session ends. Gives their number.
    ///
    /// # Errors
    /// [`Reason::InvalidCredentials`], or what is wrong with the new password.
    pub async fn change_password(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        current: Password,
        new: Password,
    ) -> Result<usize> {
        let me = self.me(ctx, credentials).await?;
        check_password(&new, &me.view.logins)?;
        let id = &me.view.user.id;
        let arrived = Instant::now();
        // Whoever has stolen a token must not find the password out by it.
        let attempt = self.limits.check(&[self.limits.key(LimitKind::Account, id.as_str())]).await?;
        let slot = self.passwords.admit(&Applicant {
            account: Account::of(id.as_str()),
            prefix: Prefix::of(&ctx.peer),
            deadline: ctx.deadline,
            // The session is one.
            known_device: true,
        });
        let slot = slot.map_err(hash_failure)?;
        let stored = self.store.read().await?.password_of(id).await?;
        if !matches!(slot.verify(current, stored).await.map_err(hash_failure)?, Verdict::Right { .. }) {
            attempt.failed(Guesser { subject: me.view.user.subject.clone(), actor: me.actor.clone() }).await?;
            no_earlier(arrived).await;
            return Err(Error::Unauthenticated(Reason::InvalidCredentials));
        }
        attempt.cleared().await?;
        let phc = self.passwords.hash(new).await.map_err(hash_failure)?;
        let now = self.now();
        let mut tx = self.store.write().await?;
        // The old password was right for this state of the account, and no other.
        if !tx.user_touch(id, Some(me.view.user.security_version), now).await? {
            return Err(Error::Conflict);
        }
        tx.password_set(id, &phc, now).await?;
        self.limits.clear_logins(&mut tx, &me.view.logins).await?;
        self.mail_password_changed(&mut tx, &me.view.logins, now).await?;
        let ended = self.end_others(&mut tx, &me, RevokedCause::PasswordSet).await?;
        tx.audit(now, AuditKind::PasswordSet, &me.actor, &me.view.user.subject, json!({ "by": "user" })).await?;
        if tx.commit().await? {
            self.live.confirm().await?;
        }
        Ok(ended)
    }

    /// The user's sessions that may still be refreshed, newest first.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn my_sessions(&self, me: &Me) -> Result<Vec<Session>> {
        let now = self.now();
        self.store.read().await?.sessions_of_user(&me.view.user.id, SessionFilter::Live(now)).await
    }

    /// Ends one of the user's own sessions, or every other; gives the number that had been live.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a session that is not the user's.
    pub async fn revoke_my_session(&self, me: &Me, session: Option<&str>) -> Result<usize> {
        let mut tx = self.store.write().await?;
        let ended = match session {
            None => self.end_others(&mut tx, me, RevokedCause::Logout).await?,
            Some(text) => {
                let missing = || Error::NotFound("session", text.to_owned());
                let id: SessionId = text.parse().map_err(|_| missing())?;
                let own = tx.session_by_id(&id).await?.is_some_and(|s| s.user == me.view.user.id);
                if !own {
                    return Err(missing());
                }
                self.end_own(&mut tx, me, Revoke::Sessions(&[id]), RevokedCause::Logout).await?
            }
        };
        if tx.commit().await? {
            self.live.confirm().await?;
        }
        Ok(ended)
    }

    /// Deletes the user's own account; gives the number of sessions ended.
    ///
    /// # Errors
    /// [`Reason::SignInTooOld`].
    pub async fn delete_me(&self, ctx: &RequestContext, credentials: &ClientCredentials) -> Result<usize> {
        let me = self.me_freshly(ctx, credentials).await?;
        let (id, now) = (&me.view.user.id, self.now());
        let mut tx = self.store.write().await?;
        if !tx.user_delete(id, now).await? {
            return Err(Error::Unauthenticated(Reason::TokenInvalid));
        }
        let what = Revoke::SessionsOf { user: id, but: None };
        let ended = self.end_own(&mut tx, &me, what, RevokedCause::UserDeleted).await?;
        tx.audit(now, AuditKind::UserDeleted, &me.actor, &me.view.user.subject, json!({ "by": "user" })).await?;
        tx.commit().await?;
        self.live.confirm().await?;
        Ok(ended)
    }

    async fn end_others(&self, tx: &mut Tx, me: &Me, cause: RevokedCause) -> Result<usize> {
        let what = Revoke::SessionsOf { user: &me.view.user.id, but: Some(&me.session) };
        self.end_own(tx, me, what, cause).await
    }

    async fn end_own(&self, tx: &mut Tx, me: &Me, what: Revoke<'_>, cause: RevokedCause) -> Result<usize> {
        let settings = self.live.snapshot().settings.clone();
        let now = self.now();
        tx.revoke(what, &By { actor: &me.actor, cause, settings: &settings, now }).await
    }
}

fn check_profile(profile: Option<&Map<String, Value>>) -> Result<()> {
    // The profile is one level below the attributes.
    if profile.is_some_and(|p| is_deeper_than(MAX_DEPTH - 1, p)) {
        return Err(Error::invalid("profile", format!("must be nested at most {} levels deep", MAX_DEPTH - 1)));
    }
    let text = profile.map(|p| Value::Object(p.clone()).to_string()).unwrap_or_default();
    if text.contains("\\u0000") { Err(Error::invalid("profile", "must not hold NUL")) } else { Ok(()) }
}

fn email(text: &str) -> Result<Login> {
    match Login::parse(text) {
        Ok(login) if login.kind() == LoginKind::Email => Ok(login),
        Ok(_) => Err(Error::invalid("email", "must be an email address")),
        Err(problem) => Err(Error::invalid("email", problem.to_string())),
    }
}

/// A user name, if the text is not empty.
fn user_name(text: &str) -> Result<Vec<Login>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    match Login::parse(text) {
        Ok(login) if login.kind() == LoginKind::Name => Ok(vec![login]),
        Ok(_) => Err(Error::invalid("name", "must not hold an @")),
        Err(problem) => Err(Error::invalid("name", problem.to_string())),
    }
}
