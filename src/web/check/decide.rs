//! The decision on a request to an application, by the cookie that it carries.

use std::sync::Arc;

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};

use super::{
    answer::{Refusal, location},
    forwarded::ForwardedRequest,
};
use crate::{
    domain::{client::Client, site::Site},
    error::Error,
    metrics::Metrics,
    service::{BrowserSession, Service, empty_headers},
    time::Timestamp,
    web::browser::{
        Problem,
        cookies::{CookieNames, RequestCookies},
        cross_site::{check_unsafe, is_navigation},
    },
};

/// The visitor whose browser it is, signed in or not.
const VISITOR: HeaderName = HeaderName::from_static("x-chancery-visitor");
/// The token for the application; empty without a session.
const TOKEN: &str = "x-chancery-token";

/// What to do with a request to an application.
#[derive(Debug)]
pub enum Decision {
    /// Pass it on with these headers, in place of all that begin like them.
    Pass(Identified),
    /// Answer it with this.
    Answer(Response),
}

/// The headers for the application.
#[derive(Debug)]
pub struct Identified {
    /// Every header, empty where there is nothing to say.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Identified {
    /// The value of `Authorization` for the application; nothing without a session.
    #[must_use]
    pub fn authorization(&self) -> Option<HeaderValue> {
        let (_, token) = self.headers.iter().find(|(name, _)| name.as_str() == TOKEN)?;
        let token = token.to_str().ok().filter(|token| !token.is_empty())?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Decides on requests to applications. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Checker {
    service: Arc<Service>,
    metrics: Arc<Metrics>,
}

/// A request at its site.
struct AtSite<'a> {
    request: &'a ForwardedRequest<'a>,
    client: Arc<Client>,
    site: Site,
    now: Timestamp,
}

impl Checker {
    /// A checker that counts its decisions.
    #[must_use]
    pub fn new(service: Service, metrics: Arc<Metrics>) -> Self {
        Self { service: Arc::new(service), metrics }
    }

    /// Decides on a request.
    pub async fn decide(&self, request: &ForwardedRequest<'_>) -> Decision {
        match self.judge(request).await {
            Ok((identified, outcome)) => {
                self.metrics.checks().count(outcome);
                Decision::Pass(identified)
            }
            Err(refusal) => Decision::Answer(self.refuse(&refusal)),
        }
    }

    /// Counts a refusal, and makes the answer.
    pub(super) fn refuse(&self, refusal: &Refusal) -> Response {
        self.metrics.checks().count(refusal.outcome());
        refusal.answer()
    }

    async fn judge(&self, request: &ForwardedRequest<'_>) -> Result<(Identified, &'static str), Refusal> {
        let found = self.service.live.snapshot().site_of(request.scheme, &request.authority);
        let Some((client, site)) = found else { return Err(Refusal::misdirected(request)) };
        let at = AtSite { request, client, site, now: self.service.now() };
        let cookies = RequestCookies::read(request.headers, &CookieNames::of(&at.site));
        let visitor = cookies.visitor().and_then(|cookie| self.service.browser.visitor(cookie, at.now));
        let visitor = visitor.and_then(|visitor| HeaderValue::try_from(visitor.id.to_string()).ok());
        let visitor = visitor.unwrap_or_else(|| HeaderValue::from_static(""));
        let session = self.session(&at, cookies.session()).await?;
        let Some(session) = session else {
            return if request.options.optional {
                Ok((identified(empty_headers(), visitor), "anonymous"))
            } else {
                Err(self.no_session(&at, false))
            };
        };
        let identity = self.service.browser.identity(&session, &request.options.audience, at.now).await?;
        if let Some(lacks) = request.options.permissions.iter().find(|p| !identity.permissions.contains(p)) {
            return Err(Refusal::PermissionDenied(lacks.clone()));
        }
        let headers = identity.headers()?;
        if !request.options.leaves_idle {
            self.service.browser.note_use(&session, at.now);
        }
        Ok((identified(headers.iter().cloned(), visitor), "passed"))
    }

    /// The session, if it is live and strong enough.
    async fn session(&self, at: &AtSite<'_>, cookie: Option<&str>) -> Result<Option<BrowserSession>, Refusal> {
        let live = match cookie {
            Some(cookie) => self.service.browser.live_session(cookie, &at.site, at.now).await?,
            None => None,
        };
        let options = at.request.options;
        // No guest has a permission: who lacks one for being a guest has to sign in.
        let takes_guests = options.guest && options.permissions.is_empty();
        let live = live.filter(|session| takes_guests || !session.is_guest());
        let Some(session) = live else { return Ok(None) };
        if at.request.is_unsafe() && check_unsafe(at.request.headers, &at.site, false).is_err() {
            return Err(Refusal::CrossSite);
        }
        if options.assurance.is_met(&session.acr, session.auth_time, at.now) {
            return Ok(Some(session));
        }
        if options.optional { Ok(None) } else { Err(self.no_session(at, true)) }
    }

    /// The answer without a session, or with one that is too weak: the way to the sign-in page for people, and a
    /// reason for programs.
    fn no_session(&self, at: &AtSite<'_>, too_weak: bool) -> Refusal {
        if !self.service.live.is_fresh() {
            // Nobody could sign in.
            return Refusal::Unavailable;
        }
        let options = at.request.options;
        if !is_navigation(&at.request.method, at.request.headers) {
            let assurance = too_weak.then(|| options.assurance.clone());
            return Refusal::NoSession { assurance };
        }
        let of = (&*at.client, &at.site);
        let link = self.service.browser.sign_in_link(of, at.request.target, &options.assurance, at.now);
        match location(&link) {
            Some(location) => Refusal::SignIn { location, in_header: options.location_in_header },
            None => Refusal::Internal,
        }
    }
}

fn identified(headers: impl IntoIterator<Item = (&'static str, bytes::Bytes)>, visitor: HeaderValue) -> Identified {
    let pair = |(name, value)| {
        // The value is percent-encoded, so the conversion does not fail.
        let value = HeaderValue::from_maybe_shared(value).unwrap_or(HeaderValue::from_static(""));
        (HeaderName::from_static(name), value)
    };
    Identified { headers: headers.into_iter().map(pair).chain([(VISITOR, visitor)]).collect() }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match Problem::of(&error) {
            (Problem::InvalidArgument, text) => Self::BadRequest(text),
            (Problem::AudienceMissing, text) => Self::NoAudience(text),
            (Problem::TokenTooLarge, text) => Self::TooLarge(text),
            (Problem::Unavailable, _) => Self::Unavailable,
            _ => {
                tracing::error!(cause = ?error, "a check failed");
                Self::Internal
            }
        }
    }
}
