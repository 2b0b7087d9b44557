//! From a cookie to a session, and on to a token for the application behind the proxy. All of it from memory, as long
//! as a session is in use.

mod base;
mod identities;
mod memory;
mod readings;
mod sessions;

use std::sync::Arc;

pub use self::{
    base::BrowserSession,
    identities::{HEADERS, Identity, empty_headers},
};
pub(in crate::service) use self::{identities::Identities, sessions::BrowserSessions};
use super::Browser;
use crate::{
    domain::{assurance::Assurance, client::Client, flow::Required, role::Entitled, scope::Audience, site::Site},
    error::{Error, Reason, Result},
    time::Timestamp,
};

impl Browser {
    /// The live session that a cookie stands for at this site. Anything else is no session: a cookie that this server
    /// did not make, one of another site, of another kind, or of a session that has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be read, or this process may have missed that the
    /// session was ended.
    pub async fn live_session(&self, cookie: &str, site: &Site, now: Timestamp) -> Result<Option<BrowserSession>> {
        self.sessions.live_session(cookie, site, now).await
    }

    /// Notes that a session is in use, so that it does not expire. It costs nothing most of the time, and nobody waits
    /// for it.
    pub fn note_use(&self, session: &BrowserSession, now: Timestamp) {
        if let Some(touch) = session.base().note(now) {
            self.writer.touch(touch);
        }
    }

    /// The token for an application at an audience, and what it says; an empty name is the session's default.
    ///
    /// # Errors
    /// A violation of `audience`; [`Error::Precondition`] if the client has none; [`Error::TokenTooLarge`]; this process
    /// may not sign.
    pub async fn identity(&self, session: &BrowserSession, audience: &str, now: Timestamp) -> Result<Arc<Identity>> {
        self.identities.of(session, audience, now).await
    }

    /// Fails if a client gives scripts at its site no tokens.
    ///
    /// # Errors
    /// [`Reason::ClientNotAllowed`].
    pub fn check_gives_tokens(&self, client: &Client) -> Result<()> {
        if client.config.browser_tokens {
            return Ok(());
        }
        let id = &client.id;
        let text = format!("the client {id} gives scripts no tokens, unless its browser_tokens are turned on");
        Err(Error::Denied(Reason::ClientNotAllowed, text))
    }

    /// The token for scripts at a site. The session may be of a client that had the site before.
    ///
    /// # Errors
    /// Those of [`Browser::identity`] and [`Browser::check_gives_tokens`].
    pub async fn identity_for_scripts(
        &self,
        session: &BrowserSession,
        audience: &str,
        now: Timestamp,
    ) -> Result<Arc<Identity>> {
        let snapshot = self.runtime.live.snapshot();
        if let Some(client) = snapshot.clients.get(session.client.as_str()) {
            self.check_gives_tokens(client)?;
        }
        self.identity(session, audience, now).await
    }

    /// The roles and permissions of a session where its tokens are for, or at this server if they are for it alone.
    #[must_use]
    pub fn rights(&self, session: &BrowserSession) -> Entitled {
        let snapshot = self.runtime.live.snapshot();
        let client = snapshot.clients.get(session.client.as_str());
        let elsewhere = client.and_then(|client| client.config.application_audiences(&snapshot.issuer).next());
        let audience = elsewhere.map_or(&*snapshot.issuer, Audience::as_str);
        snapshot.session_entitlements(&session.roles, &session.acr, audience)
    }

    /// The sign-in page of a site, for whoever asked for a path of its application.
    #[must_use]
    pub fn sign_in_link(&self, of: (&Client, &Site), path: &str, asked: &Assurance, now: Timestamp) -> String {
        let Assurance { acr, max_age } = asked.clone();
        let flow = self.begin_flow(of, Some(path), now).requiring(Required { acr, max_age, prompt: None });
        of.1.url(&format!("/login?r={}", self.seal_flow(&flow)))
    }

    /// The bytes that the memories of sessions and of tokens take.
    #[must_use]
    pub fn remembered_bytes(&self) -> (usize, usize) {
        (self.sessions.bytes(), self.identities.bytes())
    }
}
