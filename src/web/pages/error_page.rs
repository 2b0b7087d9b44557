//! What the error pages show.

use serde::Serialize;

use super::{Text, names::names};

names! {
    /// What went wrong.
    ErrorKind {
        /// 400: a parameter or field is wrong.
        Invalid = "invalid",
        /// 400: the link of a mail is of no use.
        Link = "link",
        /// 403: the request came from elsewhere.
        CrossSite = "cross_site",
        /// 403: not allowed.
        Denied = "denied",
        /// 404.
        NotFound = "not_found",
        /// 405.
        Method = "method",
        /// 413.
        TooLarge = "too_large",
        /// 429: too many attempts.
        TooMany = "too_many",
        /// 500.
        Internal = "internal",
        /// 503: try again soon.
        Unavailable = "unavailable",
    }
}

impl ErrorKind {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid | Self::Link => 400,
            Self::CrossSite | Self::Denied => 403,
            Self::NotFound => 404,
            Self::Method => 405,
            Self::TooLarge => 413,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The reason in a problem document, unless there is a better one.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID_ARGUMENT",
            Self::Link => "CODE_INVALID",
            Self::CrossSite => "CROSS_SITE_REQUEST",
            Self::Denied => "PERMISSION_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::Method => "METHOD_NOT_ALLOWED",
            Self::TooLarge => "REQUEST_TOO_LARGE",
            Self::TooMany => "TOO_MANY_ATTEMPTS",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// An error page.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorPage {
    /// What went wrong.
    pub kind: ErrorKind,
    /// The parameter or field at fault.
    pub parameter: Option<String>,
    /// More about it.
    pub detail: Option<Text>,
    /// The request, for the logs.
    pub request_id: String,
    /// Where to try again.
    pub retry: Option<String>,
}
