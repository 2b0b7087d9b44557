//! A request for a page, with all that every page needs of it: the site, the browser's cookies and who the visitor is.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::{
    BrowserState, SiteOf,
    cookies::{CookieNames, RequestCookies},
    cross_site::check_unsafe,
    form::Form,
    query::Query,
};
use crate::{
    domain::{client::Client, mail::Language, site::Site},
    error::Result,
    id::{SessionId, VisitorId},
    service::FormPurpose,
    service::{BrowserSession, RequestContext, Visitor},
    web::{accept::wants_json, pages::ErrorKind},
};

/// The path and query that a page was asked for with, before the site's prefix was taken away.
#[derive(Clone, Debug, Default)]
pub(super) struct AskedFor(pub(super) String);

/// A request for a page.
pub struct BrowserRequest {
    /// What every page has at hand.
    pub state: BrowserState,
    /// The client whose site it is.
    pub client: Arc<Client>,
    /// The site.
    pub site: Site,
    /// Its context: the time, the id, and where it came from.
    pub ctx: RequestContext,
    /// The method.
    pub method: Method,
    /// The headers.
    pub headers: HeaderMap,
    /// The query of the URL.
    pub query: Query,
    /// The cookies that count on this site.
    pub cookies: RequestCookies,
    /// The visitor whom the browser has named.
    pub known_visitor: Option<Visitor>,
    /// That visitor, or a new one.
    pub visitor: Visitor,
    /// The path and query that the page was asked for with.
    pub(super) asked_for: AskedFor,
    /// The language of the user who was found to be signed in, if it is known.
    pub(super) user_language: OnceLock<Option<Language>>,
    /// Whether the answer is wanted in JSON.
    pub in_json: bool,
    /// The session that was found, if it is a guest's.
    pub(super) guest: OnceLock<SessionId>,
    /// Whether the session's cookie was found to stand for no live session.
    dead_session: AtomicBool,
    /// Whether another session has just taken the place of that of the cookie.
    replaced_session: AtomicBool,
}

impl fmt::Debug for BrowserRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserRequest").field("site", &self.site).field("ctx", &self.ctx).finish_non_exhaustive()
    }
}

impl FromRequestParts<BrowserState> for BrowserRequest {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, state: &BrowserState) -> Result<Self, Response> {
        let Some(found) = parts.extensions.get::<SiteOf>().cloned() else {
            // It is missing only where a page was mounted outside of a site.
            return Err(StatusCode::MISDIRECTED_REQUEST.into_response());
        };
        let ctx = parts.extensions.get::<RequestContext>().cloned();
        Ok(Self::new(state.clone(), found, ctx, parts))
    }
}

impl BrowserRequest {
    fn new(state: BrowserState, found: SiteOf, ctx: Option<RequestContext>, parts: &Parts) -> Self {
        let user_agent = parts.headers.get(header::USER_AGENT).map_or(&[][..], |value| value.as_bytes());
        let ctx = ctx.unwrap_or_else(|| found.context(&state, user_agent));
        let SiteOf { client, site, .. } = found;
        let cookies = RequestCookies::read(&parts.headers, &CookieNames::of(&site));
        let browser = &state.service.browser;
        let known_visitor = cookies.visitor().and_then(|text| browser.visitor(text, ctx.now));
        let visitor = known_visitor.unwrap_or_else(|| browser.new_visitor());
        ctx.set_site_client(&client);
        let mut request = Self {
            client,
            site,
            ctx,
            method: parts.method.clone(),
            in_json: wants_json(&parts.headers),
            headers: parts.headers.clone(),
            query: Query::read(parts.uri.query()),
            cookies,
            known_visitor,
            visitor,
            asked_for: parts.extensions.get().cloned().unwrap_or_else(|| AskedFor(super::path_and_query(&parts.uri))),
            user_language: OnceLock::new(),
            guest: OnceLock::new(),
            dead_session: AtomicBool::new(false),
            replaced_session: AtomicBool::new(false),
            state,
        };
        request.ctx.language = Some(request.language(request.asked_language(None)));
        request
    }

    /// The live session of the account that is signed in here. Guests have none.
    ///
    /// # Errors
    /// The database is unreachable: the browser may have a session or not.
    pub async fn session(&self) -> Result<Option<BrowserSession>> {
        Ok(self.any_session().await?.filter(|session| !session.is_guest()))
    }

    /// The live session that the browser's cookie stands for at this site, be it a guest's. It is in use: its user has
    /// asked for a page.
    ///
    /// # Errors
    /// The database is unreachable: the browser may have a session or not.
    pub async fn any_session(&self) -> Result<Option<BrowserSession>> {
        let found = self.unused_session().await?;
        if let Some(session) = &found {
            self.state.service.browser.note_use(session, self.ctx.now);
        }
        Ok(found)
    }

    /// The same, for a script that may ask over and over.
    ///
    /// # Errors
    /// The database is unreachable: the browser may have a session or not.
    pub(super) async fn unused_session(&self) -> Result<Option<BrowserSession>> {
        let Some(cookie) = self.cookies.session() else { return Ok(None) };
        let browser = &self.state.service.browser;
        let found = browser.live_session(cookie, &self.site, self.ctx.now).await?;
        let replaced = found.is_none() && browser.was_just_replaced(cookie, &self.site, self.ctx.now).await?;
        self.replaced_session.store(replaced, Ordering::Relaxed);
        self.dead_session.store(found.is_none() && !replaced, Ordering::Relaxed);
        if let Some(session) = &found {
            self.user_language.get_or_init(|| session.language().cloned());
            if session.is_guest() {
                self.guest.get_or_init(|| session.id.clone());
            }
        }
        Ok(found)
    }

    /// Whether the session's cookie was found to stand for no live session, and is to be taken away.
    pub(super) fn has_dead_session(&self) -> bool {
        self.dead_session.load(Ordering::Relaxed)
    }

    /// Whether the cookie was found to stand for a session that another has just replaced. The browser has the cookie of
    /// that one by now, or gets it from an answer that is on its way.
    pub(super) fn has_replaced_session(&self) -> bool {
        self.replaced_session.load(Ordering::Relaxed)
    }

    /// The visitor whom the browser has named.
    #[must_use]
    pub fn visitor_id(&self) -> Option<&VisitorId> {
        self.known_visitor.as_ref().map(|visitor| &visitor.id)
    }

    /// The form that was sent, if a page of this origin has sent it. What another site has made the browser send is
    /// refused before it is read. Its token is for the caller to check.
    ///
    /// # Errors
    /// A page that says why.
    pub async fn form(&self, request: Request) -> Result<Form, Response> {
        if let Err(why) = check_unsafe(&self.headers, &self.site, true) {
            tracing::info!(request_id = %self.ctx.request_id, why = why.as_str(), "a form from elsewhere is refused");
            return Err(self.refused(ErrorKind::CrossSite));
        }
        Form::read(&self.headers, request.into_body()).await.map_err(|error| self.bad_form(&error))
    }

    /// The token of a form for this browser.
    #[must_use]
    pub fn form_token(&self, purpose: FormPurpose, session: Option<&BrowserSession>, decided: &[u8]) -> String {
        let of = (&self.visitor.id, session.map(|session| &session.id));
        self.state.service.browser.form_token(purpose, of, &self.site, decided)
    }

    /// Whether a form token is the one that this browser was given. Without the visitor's cookie, none is.
    #[must_use]
    pub fn has_form_token(
        &self,
        presented: &str,
        purpose: FormPurpose,
        session: Option<&BrowserSession>,
        decided: &[u8],
    ) -> bool {
        let Some(Visitor { id, .. }) = &self.known_visitor else { return false };
        let of: (&VisitorId, _) = (id, session.map(|session| &session.id));
        self.state.service.browser.form_token_matches(purpose, of, &self.site, decided, presented)
    }
}
