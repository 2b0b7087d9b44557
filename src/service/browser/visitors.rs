//! Visitors, and the forms that are made for them.

use super::{Browser, BrowserSession};
use crate::{
    domain::{login::Login, site::Site},
    error::Result,
    id::{SessionId, VisitorId},
    keys::{
        form_token::{self, FormPurpose},
        visitor_cookie,
    },
    secret::VisitorCookie,
    time::Timestamp,
};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// A visitor, as their cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Who it is.
    pub id: VisitorId,
    /// Whether their cookie is of another day, so that it is due to be sent again.
    pub renew: bool,
}

impl Browser {
    /// The visitor of a cookie; nothing if this server did not make it.
    #[must_use]
    pub fn visitor(&self, cookie: &str, now: Timestamp) -> Option<Visitor> {
        let (id, day) = visitor_cookie::parse(&self.runtime.sealing, cookie)?;
        Some(Visitor { id, renew: day != day_of(now) })
    }

    /// A visitor who was not here before.
    #[must_use]
    pub fn new_visitor(&self) -> Visitor {
        Visitor { id: VisitorId::new(&*self.runtime.entropy), renew: true }
    }

    /// The cookie of a visitor.
    #[must_use]
    pub fn visitor_cookie(&self, visitor: &VisitorId, now: Timestamp) -> VisitorCookie {
        visitor_cookie::mint(&self.runtime.sealing, visitor, day_of(now))
    }

    /// The token of a form. `session` is that of the account whose page it is on.
    #[must_use]
    pub fn form_token(
        &self,
        purpose: FormPurpose,
        (visitor, session): (&VisitorId, Option<&SessionId>),
        site: &Site,
        decided: &[u8],
    ) -> String {
        form_token::token(&self.runtime.sealing, purpose, visitor, session, site.origin(), decided)
    }

    /// Whether a token is that of this form.
    #[must_use]
    pub fn form_token_matches(
        &self,
        purpose: FormPurpose,
        (visitor, session): (&VisitorId, Option<&SessionId>),
        site: &Site,
        decided: &[u8],
        presented: &str,
    ) -> bool {
        form_token::matches(&self.runtime.sealing, purpose, visitor, session, site.origin(), decided, presented)
    }

    /// Whether a login is one of the user's who is signed in.
    ///
    /// # Errors
    /// The database is unreachable.
    pub async fn is_login_of(&self, session: &BrowserSession, login: &str) -> Result<bool> {
        let Some(typed) = Login::canonical_for_lookup(login) else { return Ok(false) };
        let Some(user) = &session.user else { return Ok(false) };
        let logins = self.runtime.store.read().await?.logins_of(user).await?;
        Ok(logins.iter().any(|login| Login::canonical_for_lookup(login).as_ref() == Some(&typed)))
    }
}

fn day_of(now: Timestamp) -> u32 {
    u32::try_from(now.millis() / DAY).unwrap_or_default()
}
