//! Refusals of checks, as responses that browsers, programs and operators understand.

use std::fmt::Write;

use super::forwarded::{ForwardedRequest, Indescribable};
use crate::{domain::assurance::Assurance, web::browser::Problem};
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// Where to sign in, for a proxy that passes on no 302.
const LOCATION: HeaderName = HeaderName::from_static("x-chancery-location");

/// Why a request does not reach the application.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// The check itself was asked in a wrong way.
    BadRequest(String),
    /// Whoever asks is not a proxy of this deployment.
    NotAProxy(&'static str),
    /// The proxy's configuration lacks a line.
    ProxyLacks(&'static str),
    /// No client has such a site.
    Misdirected(String),
    /// A person has to sign in.
    SignIn {
        /// The sign-in page.
        location: HeaderValue,
        /// Whether it is given in a header of our own.
        in_header: bool,
    },
    /// A program has no session, or one that is not strong enough for this.
    NoSession {
        /// What the sign-in lacks.
        assurance: Option<Assurance>,
    },
    /// It comes from another site and could change something.
    CrossSite,
    /// The user lacks a permission.
    PermissionDenied(String),
    /// The headers or the token would be too large.
    TooLarge(String),
    /// The database cannot be read, or a sign-out may have been missed.
    Unavailable,
    /// The client has no audience that a token could be for.
    NoAudience(String),
    /// An internal failure.
    Internal,
}

impl Refusal {
    pub(super) fn misdirected(request: &ForwardedRequest<'_>) -> Self {
        let shown: String = request.authority.chars().take(255).collect();
        Self::Misdirected(format!("{}://{shown}", request.scheme))
    }

    /// The name in metrics.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::NotAProxy(_) => "not_a_proxy",
            Self::ProxyLacks(_) => "proxy_lacks",
            Self::Misdirected(_) => "misdirected",
            Self::SignIn { .. } => "sign_in",
            Self::NoSession { assurance: None } => "no_session",
            Self::NoSession { .. } => "too_weak",
            Self::CrossSite => "cross_site",
            Self::PermissionDenied(_) => "permission_denied",
            Self::TooLarge(_) => "too_large",
            Self::NoAudience(_) => "no_audience",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// What it is for programs, and what it says to people.
    fn problem(&self) -> (Problem, String) {
        let (problem, text) = match self {
            Self::BadRequest(text) => return (Problem::InvalidArgument, text.clone()),
            Self::TooLarge(text) => return (Problem::TokenTooLarge, text.clone()),
            Self::NoAudience(text) => return (Problem::AudienceMissing, text.clone()),
            Self::ProxyLacks(line) => {
                return (Problem::ProxyIncomplete, format!("the proxy's configuration lacks: {line}"));
            }
            Self::Misdirected(seen) => return (Problem::MisdirectedRequest, format!("no client has a site at {seen}")),
            Self::PermissionDenied(permission) => {
                return (Problem::PermissionDenied, format!("the user lacks the permission {permission}"));
            }
            Self::NotAProxy(text) => (Problem::ProxyUnknown, *text),
            Self::SignIn { .. } | Self::NoSession { assurance: None } => {
                (Problem::NoSession, "nobody is signed in; sign in first")
            }
            Self::NoSession { .. } => {
                (Problem::SessionTooWeak, "this needs a stronger or more recent sign-in; sign in again")
            }
            Self::CrossSite => {
                (Problem::CrossSiteRequest, "the request comes from another site, or does not say where from")
            }
            Self::Unavailable => (Problem::Unavailable, "the service is temporarily unavailable; try again"),
            Self::Internal => (Problem::Internal, "internal error; the server's log has the details"),
        };
        (problem, text.to_owned())
    }

    /// The response.
    pub(super) fn answer(&self) -> Response {
        let mut response = if let Self::SignIn { location, in_header: false } = self {
            (StatusCode::FOUND, [(header::LOCATION, location.clone())]).into_response()
        } else {
            let (problem, detail) = self.problem();
            problem.answer(&detail)
        };
        let headers = response.headers_mut();
        match self {
            Self::SignIn { location, in_header: true } => {
                headers.insert(LOCATION, location.clone());
            }
            Self::NoSession { assurance: Some(assurance) } => {
                headers.insert(header::WWW_AUTHENTICATE, challenge(assurance));
            }
            _ => {}
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// What a stronger sign-in has to be (RFC 9470 §3).
fn challenge(assurance: &Assurance) -> HeaderValue {
    let mut text = "Bearer error=\"insufficient_user_authentication\"".to_owned();
    if let Some(acr) = &assurance.acr {
        // Writing into a String cannot fail.
        let _ = write!(text, ", acr_values=\"{acr}\"");
    }
    if let Some(age) = assurance.max_age {
        let _ = write!(text, ", max_age=\"{}\"", age.seconds());
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
}

/// An address as a header.
pub(super) fn location(link: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(link).ok()
}

impl From<Indescribable> for Refusal {
    fn from(problem: Indescribable) -> Self {
        match problem {
            Indescribable::Lacks(line) => Self::ProxyLacks(line),
            Indescribable::Wrong(name, problem) => Self::BadRequest(format!("{name} {problem}")),
        }
    }
}
