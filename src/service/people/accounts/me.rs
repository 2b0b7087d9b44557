//! Self-service for signed-in users.

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    Accounts,
    budget::Write,
    once::{Once, Turn},
    verify::PendingEmail,
    visit::asked_in_browser,
};
use crate::{
    domain::{
        audit::AuditKind,
        client::Client,
        end_user::EndUser,
        login::{Login, LoginKind},
        mail::{Content, Language},
        session::{RevokedCause, Session},
        ticket::TicketKind,
        user::{MAX_ATTRIBUTES, MAX_DEPTH, holds_nul, is_deeper_than, stored_size},
    },
    error::{Error, Result},
    id::{SessionId, TicketId},
    service::{
        access::{Me, RequestContext, TOKEN_REFUSED},
        people::{
            emails::{Addressee, AskedMail, Asker, MailLanguage, parse_language, parse_recipient},
            new_passwords::{asked, wait_min_response_time},
            tickets::PendingTicket,
            users::{UserView, load_view, remap_claims},
        },
        tokens::SessionsEnded,
    },
    store::{By, Revoke, SessionFilter, Tx},
    time::Timestamp,
};

/// The only attribute that users may change.
const PROFILE: &str = "profile";

/// A change of the user's own account; absent fields stay as they are.
#[derive(Debug, Default)]
pub struct MePatch {
    /// The user name; empty removes it.
    pub name: Option<String>,
    /// The attribute `profile`.
    pub profile: Option<Map<String, Value>>,
    /// A new address; it takes effect once verified.
    pub email: Option<String>,
    /// The language of the verification mail; empty means the user's own.
    pub language: String,
    /// The language in which the server writes to the user; empty removes it.
    pub own_language: Option<String>,
}

/// A validated change of name, profile and language.
struct CheckedPatch {
    name: Option<Vec<Login>>,
    profile: Option<Map<String, Value>>,
    language: Option<OwnLanguage>,
}

/// The language in which the server writes to a user, if any.
struct OwnLanguage(Option<Language>);

impl CheckedPatch {
    /// Whether anything in it differs from the account. Attributes that cannot be read are no attributes here.
    fn changes(&self, view: &UserView) -> bool {
        let profile = view.user.attributes.get(PROFILE).and_then(Value::as_object);
        let name = view.logins.iter().find(|login| !login.contains('@'));
        let renamed = self.name.as_ref().is_some_and(|new| new.first().map(Login::display) != name.map(String::as_str));
        let spoken = self.language.as_ref().is_some_and(|new| new.0 != view.user.language);
        renamed || spoken || self.profile.as_ref().is_some_and(|new| Some(new) != profile)
    }
}

/// Whether the user has this address and no other.
fn is_only_address(view: &UserView, email: &Login) -> bool {
    let mut addresses = view.logins.iter().filter(|login| login.contains('@'));
    addresses.next().map(String::as_str) == Some(email.display()) && addresses.next().is_none()
}

impl Accounts {
    /// The user's own account.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`](crate::error::Reason::TokenInvalid) if the user no longer exists.
    pub async fn me(&self, me: &Me) -> Result<UserView> {
        let mut tx = self.store.read().await?;
        let user = tx.user_by_id(&me.user).await?.ok_or(TOKEN_REFUSED)?;
        load_view(&mut tx, user).await
    }

    /// Changes the user's own account. A new email address takes effect only after verification: a code is sent to
    /// it. What is the same already changes nothing.
    ///
    /// # Errors
    /// A field violation; [`Reason::SignInTooOld`](crate::error::Reason::SignInTooOld) for name and email;
    /// [`Error::Exists`]; [`Error::RateLimited`].
    pub async fn update(
        &self,
        ctx: &RequestContext,
        me: &Me,
        patch: MePatch,
    ) -> Result<(UserView, Option<PendingTicket>)> {
        self.update_from(ctx, me, patch, None).await
    }

    /// Makes a language the user's own, as [`Accounts::update`] does.
    ///
    /// # Errors
    /// As [`Accounts::update`].
    pub async fn choose_language(&self, ctx: &RequestContext, me: &Me, language: &Language) -> Result<()> {
        let patch = MePatch { own_language: Some(language.as_str().to_owned()), ..MePatch::default() };
        self.update(ctx, me, patch).await.map(|_| ())
    }

    /// Does what [`Accounts::update`] does, for a request from a browser if it says which: the mail for an address is
    /// then sent once.
    pub(super) async fn update_from(
        &self,
        ctx: &RequestContext,
        me: &Me,
        patch: MePatch,
        from: Option<&Once>,
    ) -> Result<(UserView, Option<PendingTicket>)> {
        if patch.name.is_some() || patch.email.is_some() {
            me.check_fresh(ctx.now)?;
            self.check_second_factor(me, ctx.now).await?;
        }
        check_profile(patch.profile.as_ref())?;
        let email = patch.email.as_deref().map(parse_email).transpose()?;
        let language = patch.own_language.as_deref().map(parse_language).transpose()?.map(OwnLanguage);
        let mail_language = patch.language;
        let name = patch.name.as_deref().map(parse_user_name).transpose()?;
        let arrived = Instant::now();
        let patch = CheckedPatch { name, profile: patch.profile, language };
        let view = self.me(me).await?;
        let patch = patch.changes(&view).then_some(patch);
        let email = email.filter(|email| !is_only_address(&view, email));
        if patch.is_none() && email.is_none() {
            return Ok((view, None));
        }
        let languages = |text| Ok::<_, Error>(MailLanguage::of(ctx, parse_language(text)?));
        let mail = email.map(|email| Ok::<_, Error>((email, languages(&mail_language)?))).transpose()?;
        let changing = Box::pin(self.change_and_verify(ctx, me, (view, patch), mail.map(|mail| (mail, from))));
        let (view, pending) = self.budget.spend(Write::Profile(&me.user), ctx.now, changing).await?;
        if pending.is_some() {
            wait_min_response_time(arrived).await;
        }
        Ok((view, pending))
    }

    /// Does all that is asked for, or nothing.
    async fn change_and_verify(
        &self,
        ctx: &RequestContext,
        me: &Me,
        (view, patch): (UserView, Option<CheckedPatch>),
        mail: Option<((Login, MailLanguage), Option<&Once>)>,
    ) -> Result<(UserView, Option<PendingTicket>)> {
        let Some(((email, language), from)) = mail else {
            return self.change(me, (view, patch), None).await;
        };
        let client = self.live.client(&me.client)?;
        let recipient =
            parse_recipient(email.display()).ok_or_else(|| Error::invalid("email", "must be an email address"))?;
        let id = match self.turn(&client, from).await? {
            Turn::Repeated(pending) => return Ok((view, Some(pending))),
            Turn::First(id) => id,
        };
        let asked = match from {
            Some(_) => asked_in_browser(ctx),
            None => asked(ctx, &client, &EndUser::default()),
        };
        let to = (recipient, language, asked);
        let pending = PendingEmail { email: email.display().to_owned(), session: Some(me.session.clone()) };
        let counted = self.emails.count_request(email.canonical(), Asker::User(&me.user), &me.actor.address).await?;
        counted.kept_if_done(self.change(me, (view, patch), Some((&client, &email, to, (id, pending))))).await
    }

    async fn change(
        &self,
        me: &Me,
        (mut view, patch): (UserView, Option<CheckedPatch>),
        mail: Option<(&Client, &Login, AskedMail, (TicketId, PendingEmail))>,
    ) -> Result<(UserView, Option<PendingTicket>)> {
        let mut tx = me.write(&self.store).await?;
        if let Some(patch) = patch {
            view = self.apply(&mut tx, me, patch).await?;
        }
        let pending = match mail {
            Some((client, email, to, pending)) => {
                Some(self.queue_verification(&mut tx, &view, client, (email, to, pending)).await?)
            }
            None => None,
        };
        tx.commit().await?;
        Ok((view, pending))
    }

    async fn apply(&self, tx: &mut Tx, me: &Me, patch: CheckedPatch) -> Result<UserView> {
        let (id, now) = (&me.user, self.live.now());
        if !tx.user_touch(id, None, now).await? {
            return Err(TOKEN_REFUSED);
        }
        // Again: on PostgreSQL, the session may have ended while this waited for the row.
        me.check_current(tx).await?;
        if let Some(name) = patch.name {
            tx.logins_delete(id, LoginKind::Name).await?;
            for login in name {
                if let Some(taken) = tx.login_insert(id, &login).await? {
                    return Err(taken.into());
                }
            }
        }
        let user = tx.user_by_id(id).await?.ok_or(TOKEN_REFUSED)?;
        let mut view = load_view(tx, user).await?;
        if view.logins.is_empty() {
            return Err(Error::invalid("name", "must not be empty without an email address"));
        }
        if let Some(profile) = patch.profile {
            self.set_profile(tx, &mut view, profile, now).await?;
        }
        if let Some(OwnLanguage(language)) = patch.language {
            tx.user_set_language(id, language.as_ref()).await?;
            view.user.language = language;
        }
        tx.audit(now, AuditKind::UserUpdated, &me.actor, &me.subject, json!({ "by": "user" })).await?;
        Ok(view)
    }

    /// Replaces the attribute `profile`.
    async fn set_profile(
        &self,
        tx: &mut Tx,
        view: &mut UserView,
        profile: Map<String, Value>,
        now: Timestamp,
    ) -> Result<()> {
        // The profile is one of several attributes. The others must not get lost because they cannot be read.
        if tx.user_attributes(&view.user.id).await?.is_none() {
            let text = "the account's attributes cannot be read; an administrator has to set them";
            return Err(Error::Precondition(text.to_owned()));
        }
        let before = view.user.clone();
        view.user.attributes.insert(PROFILE.to_owned(), Value::Object(profile));
        if stored_size(&view.user.attributes) > MAX_ATTRIBUTES {
            return Err(Error::invalid(
                "profile",
                format!("is too large: all attributes together must be at most {MAX_ATTRIBUTES} bytes"),
            ));
        }
        self.token_fit.check_changed_user((&before, &view.roles), (&view.user, &view.roles), "profile")?;
        tx.user_set_attributes(&view.user.id, &view.user.attributes).await?;
        remap_claims(&self.live, tx, &view.user, now).await
    }

    /// Queues a mail with a code for the user's new email address or, if the address is taken, a notice to its owner.
    async fn queue_verification(
        &self,
        tx: &mut Tx,
        view: &UserView,
        client: &Client,
        (email, to, (id, data)): (&Login, AskedMail, (TicketId, PendingEmail)),
    ) -> Result<PendingTicket> {
        let user = &view.user;
        let of = Some((&user.id, user.security_version));
        let issued = self.tickets.issue_as(id, (TicketKind::VerifyEmail, &client.id), of, &data)?;
        let owner = tx.user_by_login(email.canonical()).await?.filter(|f| f.user.id != user.id);
        if !tx.ticket_insert_once(&issued.ticket).await? {
            // The same is asked for at another process at this moment.
            return Ok(issued.pending());
        }
        let (recipient, language, asked) = to;
        let (content, language) = match owner {
            Some(owner) => (Content::AccountExists, language.for_owner(owner.user.language.as_ref())),
            None => (Content::VerifyEmail(issued.link_and_code(client)), language.for_reader(user.language.as_ref())),
        };
        let to = Addressee { recipient, language, asked };
        self.emails.send(tx, client, to, content).await?;
        Ok(issued.pending())
    }

    /// The user's sessions that may still be refreshed, newest first.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn sessions(&self, me: &Me) -> Result<Vec<Session>> {
        let now = self.live.now();
        self.store.read().await?.sessions_of_user(&me.user, SessionFilter::Live(now)).await
    }

    /// Ends one of the user's own sessions, or all others; returns how many were live, and when their last access token
    /// expires.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a session that is not the user's; [`Error::RateLimited`].
    pub async fn revoke_session(&self, me: &Me, session: Option<&str>) -> Result<SessionsEnded> {
        let ids = self.own_live_sessions(me, session, self.live.now()).await?;
        if ids.is_empty() {
            return Ok(SessionsEnded { sessions: 0, token_end: None });
        }
        let work = self.end_own(me, session.map(|_| ids.as_slice()));
        self.budget.spend(Write::Security(&me.session), self.live.now(), work).await
    }

    /// Ends these sessions of the user, or all others.
    async fn end_own(&self, me: &Me, ids: Option<&[SessionId]>) -> Result<SessionsEnded> {
        let mut tx = me.write(&self.store).await?;
        let now = self.live.now();
        let ended = match ids {
            None => self.end_other_sessions(&mut tx, me, (RevokedCause::Logout, now)).await?,
            Some(ids) => self.revoke_own(&mut tx, me, Revoke::Sessions(ids), (RevokedCause::Logout, now)).await?,
        };
        let ended = SessionsEnded::of(&mut tx, &me.user, ended, (&self.live, now)).await?;
        self.live.commit(tx).await?;
        Ok(ended)
    }

    /// Which of the user's sessions there are to end: the one that is named, or all others.
    async fn own_live_sessions(&self, me: &Me, session: Option<&str>, now: Timestamp) -> Result<Vec<SessionId>> {
        let mut tx = self.store.read().await?;
        me.check_current(&mut tx).await?;
        let mut live = tx.live_session_ids(&me.user, now).await?;
        let Some(text) = session else {
            live.retain(|id| *id != me.session);
            return Ok(live);
        };
        let missing = || Error::NotFound("session", text.to_owned());
        let id: SessionId = text.parse().map_err(|_| missing())?;
        if tx.session_by_id(&id).await?.is_none_or(|s| s.user.as_ref() != Some(&me.user)) {
            return Err(missing());
        }
        live.retain(|other| *other == id);
        Ok(live)
    }

    /// Deletes the user's own account; returns how many sessions ended.
    ///
    /// # Errors
    /// [`Reason::SignInTooOld`](crate::error::Reason::SignInTooOld).
    pub async fn delete(&self, ctx: &RequestContext, me: &Me) -> Result<usize> {
        me.check_fresh(ctx.now)?;
        self.check_second_factor(me, ctx.now).await?;
        let (id, now) = (&me.user, self.live.now());
        let mut tx = me.write(&self.store).await?;
        if !tx.user_delete(id, now).await? {
            return Err(TOKEN_REFUSED);
        }
        let what = Revoke::SessionsOf { user: id, but: None };
        let ended = self.revoke_own(&mut tx, me, what, (RevokedCause::UserDeleted, now)).await?;
        tx.audit(now, AuditKind::UserDeleted, &me.actor, &me.subject, json!({ "by": "user" })).await?;
        self.live.commit(tx).await?;
        Ok(ended)
    }

    pub(super) async fn end_other_sessions(
        &self,
        tx: &mut Tx,
        me: &Me,
        why_and_when: (RevokedCause, Timestamp),
    ) -> Result<usize> {
        let what = Revoke::SessionsOf { user: &me.user, but: Some(&me.session) };
        self.revoke_own(tx, me, what, why_and_when).await
    }

    pub(super) async fn revoke_own(
        &self,
        tx: &mut Tx,
        me: &Me,
        what: Revoke<'_>,
        (cause, now): (RevokedCause, Timestamp),
    ) -> Result<usize> {
        let settings = self.live.snapshot().settings.clone();
        tx.revoke(what, &By { actor: &me.actor, cause, settings: &settings, now }).await
    }
}

fn check_profile(profile: Option<&Map<String, Value>>) -> Result<()> {
    // The profile is one level below the attributes.
    if profile.is_some_and(|p| is_deeper_than(MAX_DEPTH - 1, p)) {
        return Err(Error::invalid("profile", format!("must be nested at most {} levels deep", MAX_DEPTH - 1)));
    }
    if profile.is_some_and(holds_nul) { Err(Error::invalid("profile", "must not contain NUL")) } else { Ok(()) }
}

fn parse_email(text: &str) -> Result<Login> {
    Login::parse_email(text).map_err(|problem| Error::invalid("email", problem))
}

/// Parses a user name; empty means none.
fn parse_user_name(text: &str) -> Result<Vec<Login>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Login::parse_name(text).map(|login| vec![login]).map_err(|problem| Error::invalid("name", problem))
}
