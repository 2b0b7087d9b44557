//! What people do with their accounts in a browser, at the pages of a client's site. The rules and limits are those of
//! the calls; what differs is how a person shows that they made a request: by the browser in which they made it.

use std::sync::Arc;

use super::{
    Accounts,
    budget::Write,
    me::MePatch,
    once::{Kept, Once},
    register::{PendingAccount, RegisterInput, check_registration, validate},
    reset::{RESET_KINDS, check_login, way_of},
    verify::{Chosen, PendingEmail, Shown, VERIFY_KINDS},
    visit::{Visit, asked_in_browser},
};
use crate::{
    domain::{client::Client, session::RevokedCause, ticket::TicketKind, user::User},
    error::{Error, Result},
    id::{SessionId, VisitorId},
    secret::{DeviceToken, Password, TicketToken, TypedCode},
    service::{
        access::{Me, RequestContext},
        people::{
            emails::MailLanguage,
            tickets::{CODE_INVALID, PendingTicket, PresentedTicket},
            users::UserView,
        },
    },
    store::Revoke,
    time::Timestamp,
};

/// A browser at a client's site.
#[derive(Clone, Copy, Debug)]
pub struct AtSite<'a> {
    /// The request. It comes from the browser itself.
    pub ctx: &'a RequestContext,
    /// The client that the site belongs to.
    pub client: &'a Arc<Client>,
    /// The visitor's id, from a cookie that this server has signed.
    pub visitor: &'a VisitorId,
    /// Where the visitor is going; empty for the site's home.
    pub return_to: &'a str,
    /// The session of the guest whose browser it is, if it is one's.
    pub guest: Option<&'a SessionId>,
}

impl AtSite<'_> {
    fn visit(&self) -> Visit {
        Visit::new(self.visitor, self.return_to)
    }
}

/// A registration at a site.
#[derive(Debug)]
pub struct SiteRegistration {
    /// The address.
    pub email: String,
    /// The user name; empty for none.
    pub name: String,
    /// The password.
    pub password: Password,
}

/// What a link in a mail is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailedLink {
    /// It opens an account.
    Register {
        /// The address.
        email: String,
        /// Whether this is the browser in which the account was requested. If not, its reader chooses a password.
        by_asker: bool,
    },
    /// It proves a new address of an account.
    VerifyEmail {
        /// The address.
        email: String,
        /// Whose account that is, as far as this browser shows.
        whose: Whose,
    },
    /// It lets its reader choose a password.
    ChoosePassword {
        /// Whether it is the account's first.
        first: bool,
    },
}

/// Whose account a link is of, as far as a browser shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The one that is signed in.
    Own,
    /// Another one than the one that is signed in.
    Another,
    /// Nobody is signed in.
    Unknown,
}

/// A verification at a site.
#[derive(Debug)]
pub struct SiteVerification {
    /// The code or link.
    pub presented: PresentedTicket,
    /// A password for the new account instead of the one in the request; empty for none.
    pub new_password: Password,
    /// A user name for the new account instead of the one in the request; empty for no name.
    pub name: Option<String>,
    /// Whether no name is given, because somebody else has the one in the request.
    pub without_name: bool,
}

/// An address that was verified at a site.
#[derive(Debug)]
pub struct VerifiedAtSite {
    /// The address.
    pub email: String,
    /// The account that was opened, if one was.
    pub account: Option<User>,
    /// Whether the person who made the request has verified it.
    pub by_asker: bool,
    /// Where the person who made the request was going; empty for the site's home.
    pub return_to: String,
    /// The session of the guest who has become the account's user.
    pub guest: Option<SessionId>,
}

impl Accounts {
    /// Registers an account, as [`Accounts::register`] does.
    ///
    /// # Errors
    /// As [`Accounts::register`].
    pub async fn register_at(
        &self,
        at: AtSite<'_>,
        registration: SiteRegistration,
        once: &Once,
    ) -> Result<PendingTicket> {
        check_registration(at.client)?;
        let SiteRegistration { email, name, password } = registration;
        let (language, address, user_agent) = (String::new(), String::new(), String::new());
        let client_id = at.client.id.as_str().to_owned();
        let input = RegisterInput { client_id, email, name, password, language, address, user_agent };
        let (email, _) = validate(&input)?;
        let asked = (asked_in_browser(at.ctx), Some((at.visit(), once)));
        self.register_as_asked(at.ctx, at.client, (input, email, at.guest.cloned()), asked).await
    }

    /// Mails a code and a link to choose a new password, as [`Accounts::request_password_reset`] does.
    ///
    /// # Errors
    /// As [`Accounts::request_password_reset`].
    pub async fn forgotten_at(
        &self,
        at: AtSite<'_>,
        (login, devices): (&str, &[DeviceToken]),
        once: &Once,
    ) -> Result<PendingTicket> {
        check_login(login)?;
        let asked = (MailLanguage::of(at.ctx, None), asked_in_browser(at.ctx));
        self.send_reset_as_asked(at.client, (login, devices), asked, Some((at.visit(), once))).await
    }

    /// What a link is for and until when, if it is valid. This changes nothing: programs that look for viruses open links
    /// too.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`](crate::error::Reason::CodeInvalid).
    pub async fn mailed_link(&self, at: AtSite<'_>, token: &str, me: Option<&Me>) -> Result<(MailedLink, Timestamp)> {
        let kinds = [VERIFY_KINDS, RESET_KINDS].concat();
        let presented = PresentedTicket {
            token: TicketToken::new(token.to_owned()),
            ticket: String::new(),
            code: TypedCode::new(String::new()),
        };
        if token.is_empty() {
            return Err(CODE_INVALID);
        }
        let ticket = self.tickets.find_valid(at.client, &kinds, &presented).await?.ticket;
        let mut tx = self.store.read().await?;
        if !self.tickets.is_of_account(&mut tx, &ticket).await? {
            return Err(CODE_INVALID);
        }
        let link = match ticket.kind {
            TicketKind::Register => {
                let PendingAccount { email, visit, .. } = self.tickets.data(&ticket)?;
                MailedLink::Register { email, by_asker: visit.is_some_and(|visit| visit.is_of(at.visitor)) }
            }
            TicketKind::VerifyEmail => {
                let pending: PendingEmail = self.tickets.data(&ticket)?;
                pending.check_session(&mut tx, self.live.now()).await?;
                let whose = match me {
                    Some(me) if ticket.user.as_ref() == Some(&me.user) => Whose::Own,
                    Some(_) => Whose::Another,
                    None => Whose::Unknown,
                };
                MailedLink::VerifyEmail { email: pending.email, whose }
            }
            kind => MailedLink::ChoosePassword { first: kind == TicketKind::Invitation },
        };
        Ok((link, ticket.expires_at))
    }

    /// Verifies an address, as [`Accounts::verify_email`] does. The keyed hash of what was submitted is kept with the
    /// ticket, for [`Accounts::used_before`].
    ///
    /// # Errors
    /// As [`Accounts::verify_email`].
    pub async fn verify_at(
        &self,
        at: AtSite<'_>,
        (verification, proof): (SiteVerification, &[u8; 32]),
        me: Option<&Me>,
    ) -> Result<VerifiedAtSite> {
        let SiteVerification { presented, new_password, name, without_name } = verification;
        let shown = Shown::Browser(at.visitor, me);
        let name = if without_name { Some(String::new()) } else { name };
        let chosen = (Chosen { new_password, name }, Some(Kept { proof, without_name }));
        let verified = self.verify_ticket(at.ctx, at.client, (&presented, shown), chosen).await?;
        let return_to = verified.visit.as_ref().map(|visit| visit.return_to.clone()).unwrap_or_default();
        let super::verify::Verified { email, account, by_asker, guest, .. } = verified;
        Ok(VerifiedAtSite { email, account, by_asker, return_to, guest })
    }

    /// Sets the password of the account that the code or link belongs to, as [`Accounts::reset_password`] does. Returns
    /// where the visitor was going who asked for it; nothing in another browser. The keyed hash of what was submitted is
    /// kept with the ticket, for [`Accounts::was_just_reset`].
    ///
    /// # Errors
    /// As [`Accounts::reset_password`].
    pub async fn reset_at(
        &self,
        at: AtSite<'_>,
        (presented, proof): (&PresentedTicket, &[u8; 32]),
        password: Password,
    ) -> Result<String> {
        let done = self.reset_by_ticket(at.ctx, at.client, (presented, Some(proof)), password).await?;
        Ok(way_of(done.by, at.visitor))
    }

    /// Changes the user's own account, as [`Accounts::update`] does. Where the sign-in is too old for a change, the
    /// current password makes up for it.
    ///
    /// # Errors
    /// As [`Accounts::update`]; [`Reason::InvalidCredentials`](crate::error::Reason::InvalidCredentials).
    pub async fn update_at(
        &self,
        at: AtSite<'_>,
        me: &Me,
        (patch, current): (MePatch, Password),
        once: Option<&Once>,
    ) -> Result<(UserView, Option<PendingTicket>)> {
        let me = self.confirmed(at.ctx, me, current).await?;
        self.update_from(at.ctx, &me, patch, once).await
    }

    /// Deletes the user's own account, given the current password; returns how many sessions ended.
    ///
    /// # Errors
    /// As [`Accounts::delete`]; [`Reason::InvalidCredentials`](crate::error::Reason::InvalidCredentials).
    pub async fn delete_at(&self, at: AtSite<'_>, me: &Me, current: Password) -> Result<usize> {
        if !self.has_password(me).await? {
            // There is nothing but the sign-in to go by.
            return self.delete(at.ctx, me).await;
        }
        if current.expose().is_empty() {
            return Err(Error::invalid("password", "must not be empty"));
        }
        self.check_second_factor(me, at.ctx.now).await?;
        self.check_own_password(at.ctx, me, current).await?;
        self.delete(at.ctx, &me.confirmed(at.ctx.now)).await
    }

    /// Ends all sessions of the user, this one included; returns how many.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub async fn end_all_sessions(&self, me: &Me) -> Result<usize> {
        let work = self.end_everywhere(me);
        self.budget.spend(Write::Security(&me.session), self.live.now(), work).await
    }

    async fn end_everywhere(&self, me: &Me) -> Result<usize> {
        let mut tx = me.write(&self.store).await?;
        let what = Revoke::SessionsOf { user: &me.user, but: None };
        let ended = self.revoke_own(&mut tx, me, what, (RevokedCause::Logout, self.live.now())).await?;
        self.live.commit(tx).await?;
        Ok(ended)
    }

    /// Whether the user has a password.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn has_password(&self, me: &Me) -> Result<bool> {
        Ok(self.store.read().await?.password_of(&me.user).await?.is_some())
    }

    /// The user, confirmed by the current password if the sign-in is too old for changes and there is one.
    async fn confirmed(&self, ctx: &RequestContext, me: &Me, current: Password) -> Result<Me> {
        self.check_second_factor(me, ctx.now).await?;
        if me.check_fresh(ctx.now).is_ok() || current.expose().is_empty() {
            return Ok(me.clone());
        }
        self.check_own_password(ctx, me, current).await?;
        Ok(me.confirmed(ctx.now))
    }
}
