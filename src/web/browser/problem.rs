//! Errors for programs, as problem documents (RFC 9457).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    error::{Error, OversizedToken},
    service::HEADERS,
};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal $status:ident,)*) => {
        /// Why a request was refused, as programs see it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Problem { $($(#[$doc])* $name,)* }

        impl Problem {
            /// The member `reason`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The status that goes with it.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }
        }
    };
}

reasons! {
    /// A parameter or a header is wrong.
    InvalidArgument = "INVALID_ARGUMENT" BAD_REQUEST,
    /// There is no such value.
    NotFound = "NOT_FOUND" NOT_FOUND,
    /// A value has another version than the caller expects.
    VersionMismatch = "VERSION_MISMATCH" PRECONDITION_FAILED,
    /// There are as many values as there may be.
    TooManyValues = "FAILED_PRECONDITION" CONFLICT,
    /// The browser has no visitor's cookie yet.
    VisitorUnknown = "VISITOR_UNKNOWN" CONFLICT,
    /// The session of the cookie has just been replaced by another.
    SessionReplaced = "SESSION_REPLACED" CONFLICT,
    /// Too many have come from there.
    TooManyAttempts = "TOO_MANY_ATTEMPTS" TOO_MANY_REQUESTS,
    /// The request is larger than the limit.
    RequestTooLarge = "REQUEST_TOO_LARGE" PAYLOAD_TOO_LARGE,
    /// Nobody is signed in.
    NoSession = "NO_SESSION" UNAUTHORIZED,
    /// The sign-in is too weak or too old.
    SessionTooWeak = "SESSION_TOO_WEAK" UNAUTHORIZED,
    /// Another site made the browser send it.
    CrossSiteRequest = "CROSS_SITE_REQUEST" FORBIDDEN,
    /// The user lacks a permission.
    PermissionDenied = "PERMISSION_DENIED" FORBIDDEN,
    /// The client gives scripts no tokens.
    BrowserTokensOff = "BROWSER_TOKENS_OFF" FORBIDDEN,
    /// Whoever asks is no proxy of this deployment.
    ProxyUnknown = "PROXY_UNKNOWN" FORBIDDEN,
    /// No client has such a site.
    MisdirectedRequest = "MISDIRECTED_REQUEST" MISDIRECTED_REQUEST,
    /// The configuration of the proxy lacks a line.
    ProxyIncomplete = "PROXY_INCOMPLETE" INTERNAL_SERVER_ERROR,
    /// The client has no audience that a token could be for.
    AudienceMissing = "AUDIENCE_MISSING" INTERNAL_SERVER_ERROR,
    /// A token or the headers would be larger than applications take.
    TokenTooLarge = "TOKEN_TOO_LARGE" INTERNAL_SERVER_ERROR,
    /// An internal failure.
    Internal = "INTERNAL" INTERNAL_SERVER_ERROR,
    /// The database cannot be read, or changes may have been missed.
    Unavailable = "UNAVAILABLE" SERVICE_UNAVAILABLE,
}

impl Problem {
    /// Why there is no token for an application, with a text for people.
    #[must_use]
    pub fn of(error: &Error) -> (Self, String) {
        match error {
            Error::Invalid(violations) => {
                let first = violations.first().map(|v| format!("{}: {}", v.field, v.description));
                (Self::InvalidArgument, first.unwrap_or_default())
            }
            Error::Denied(..) => (Self::BrowserTokensOff, error.to_string()),
            Error::Precondition(_) => (Self::AudienceMissing, error.to_string()),
            Error::Unavailable(_) | Error::Throttled { .. } | Error::DeadlineExceeded | Error::Stopping => {
                (Self::Unavailable, "the service is temporarily unavailable; try again".to_owned())
            }
            Error::TokenTooLarge { field: HEADERS, token } => {
                let OversizedToken { client, bytes, limit, .. } = &**token;
                let text = format!(
                    "the headers for the application of the client {client} would have {bytes} bytes, more than {limit}; \
                     it needs fewer permissions, scopes or mapped claims"
                );
                (Self::TokenTooLarge, text)
            }
            Error::TokenTooLarge { .. } => (Self::TokenTooLarge, error.to_string()),
            _ => (Self::Internal, "internal error; the server's log has the details".to_owned()),
        }
    }

    /// The answer, with a text for people.
    #[must_use]
    pub fn answer(self, detail: &str) -> Response {
        self.answer_as(self.status(), detail)
    }

    /// The same with another status.
    #[must_use]
    pub fn answer_as(self, status: StatusCode, detail: &str) -> Response {
        let title = status.canonical_reason().unwrap_or_default();
        let body = json!({ "status": status.as_u16(), "reason": self.as_str(), "title": title, "detail": detail });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match status {
            // RFC 9110 §15.5.2 wants a challenge; a cookie is no scheme that it knows.
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
