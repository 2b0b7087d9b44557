//! The one error of the crate: variants say what the caller should do, each with a public reason and
//! a private source that only logs see.

use std::{borrow::Cow, error::Error as StdError, fmt};

use crate::time::{Timestamp, Ttl};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A private cause, for logs only.
pub type Source = Box<dyn StdError + Send + Sync>;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a call was refused, as clients see it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The text in `google.rpc.ErrorInfo.reason`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// A field of the request is wrong.
    InvalidArgument = "INVALID_ARGUMENT",
    /// No account has this login and password, or it may not sign in.
    InvalidCredentials = "INVALID_CREDENTIALS",
    /// The client did not prove who it is.
    ClientAuthenticationFailed = "CLIENT_AUTHENTICATION_FAILED",
    /// The bearer token is not good here.
    TokenInvalid = "TOKEN_INVALID",
    /// The client may not do this.
    ClientNotAllowed = "CLIENT_NOT_ALLOWED",
    /// The caller lacks a permission.
    PermissionDenied = "PERMISSION_DENIED",
    /// The refresh token is not one of ours, or not this client's.
    RefreshTokenInvalid = "REFRESH_TOKEN_INVALID",
    /// A newer refresh token is in use; nothing was revoked.
    RefreshTokenSuperseded = "REFRESH_TOKEN_SUPERSEDED",
    /// The refresh token was used before; the session was ended.
    RefreshTokenReused = "REFRESH_TOKEN_REUSED",
    /// The session was idle too long or has reached its end.
    SessionExpired = "SESSION_EXPIRED",
    /// The session was ended.
    SessionRevoked = "SESSION_REVOKED",
    /// There is no such thing.
    NotFound = "NOT_FOUND",
    /// A thing of this name exists.
    AlreadyExists = "ALREADY_EXISTS",
    /// The state of the thing forbids this.
    FailedPrecondition = "FAILED_PRECONDITION",
    /// Another change came first.
    Conflict = "CONFLICT",
    /// The code or link is wrong, was used, or has ended.
    CodeInvalid = "CODE_INVALID",
    /// It is not as the caller last saw it.
    EtagMismatch = "ETAG_MISMATCH",
    /// The user signed in too long ago for this.
    SignInTooOld = "SIGN_IN_TOO_OLD",
    /// Too much work is waiting.
    Overloaded = "OVERLOADED",
    /// Too many guesses have failed.
    TooManyAttempts = "TOO_MANY_ATTEMPTS",
    /// The request is larger than the limit.
    RequestTooLarge = "REQUEST_TOO_LARGE",
    /// The deadline passed first.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// The database cannot be reached, or this process may not sign just now.
    Unavailable = "UNAVAILABLE",
    /// There is no such method.
    MethodUnknown = "METHOD_UNKNOWN",
    /// The request could not be decoded.
    RequestMalformed = "REQUEST_MALFORMED",
    /// A stream was not read as fast as it was written.
    WatcherTooSlow = "WATCHER_TOO_SLOW",
    /// Something failed here.
    Internal = "INTERNAL",
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path on the wire, such as `attributes.limits.max`.
    pub field: Cow<'static, str>,
    /// What is wrong with it; never the value itself.
    pub description: String,
}

/// What went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The request is wrong; every wrong field is named at once.
    Invalid(Vec<Violation>),
    /// The caller did not prove who it is, or its proof has ended.
    Unauthenticated(Reason),
    /// A refresh token was presented a second time. The session has been ended.
    Reused {
        /// The session.
        session: String,
        /// When the token presented was exchanged for its successor, as far as that is kept.
        rotated_at: Timestamp,
    },
    /// The session was ended, and why.
    Ended {
        /// The cause, as the documented metadata has it.
        cause: &'static str,
    },
    /// The caller may not do this; the text says what is missing.
    Denied(Reason, String),
    /// The caller lacks this permission.
    Lacks(&'static str),
    /// A stream was not read as fast as it was written.
    TooSlow,
    /// There is no such thing: kind and name.
    NotFound(&'static str, String),
    /// Such a thing exists: kind and name.
    Exists(&'static str, String),
    /// The state of something forbids this.
    Precondition(String),
    /// Another change came first.
    Conflict,
    /// It is not as the caller last saw it.
    Changed,
    /// Too much work is waiting.
    Throttled {
        /// When to try again.
        after: Ttl,
    },
    /// Too many guesses have failed.
    TooManyAttempts {
        /// When the next one is due.
        after: Ttl,
        /// What they were counted by, as the documented metadata has it.
        by: &'static str,
        /// Whether there is none until they are forgotten.
        closed: bool,
    },
    /// The deadline passed.
    DeadlineExceeded,
    /// The database cannot be reached, or this process may not sign just now.
    Unavailable(Source),
    /// Something failed here.
    Internal(Source),
}

impl Error {
    /// One wrong field.
    #[must_use]
    pub fn invalid(field: impl Into<Cow<'static, str>>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { field: field.into(), description: description.into() }])
    }

    /// The public reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::InvalidArgument,
            Self::Unauthenticated(reason) | Self::Denied(reason, _) => *reason,
            Self::Reused { .. } => Reason::RefreshTokenReused,
            Self::Ended { .. } => Reason::SessionRevoked,
            Self::Lacks(_) => Reason::PermissionDenied,
            Self::TooSlow => Reason::WatcherTooSlow,
            Self::NotFound(..) => Reason::NotFound,
            Self::Exists(..) => Reason::AlreadyExists,
            Self::Precondition(_) => Reason::FailedPrecondition,
            Self::Conflict => Reason::Conflict,
            Self::Changed => Reason::EtagMismatch,
            Self::Throttled { .. } => Reason::Overloaded,
            Self::TooManyAttempts { .. } => Reason::TooManyAttempts,
            Self::DeadlineExceeded => Reason::DeadlineExceeded,
            Self::Unavailable(_) => Reason::Unavailable,
            Self::Internal(_) => Reason::Internal,
        }
    }
}

impl fmt::Display for Error {
    /// The public message: never a private source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(violations) => {
                for (n, v) in violations.iter().enumerate() {
                    let gap = if n == 0 { "" } else { "; " };
                    write!(f, "{gap}{}: {}", v.field, v.description)?;
                }
                Ok(())
            }
            Self::Unauthenticated(reason) => f.write_str(unauthenticated_text(*reason)),
            Self::Reused { .. } | Self::Ended { .. } => f.write_str(unauthenticated_text(self.reason())),
            Self::Denied(_, text) | Self::Precondition(text) => f.write_str(text),
            Self::Lacks(permission) => write!(f, "the caller lacks the permission {permission}"),
            Self::TooSlow => f.write_str("the stream was not read as fast as it was written; resume from its cursor"),
            Self::NotFound(kind, name) => write!(f, "no {kind} {name}"),
            Self::Exists(kind, name) => write!(f, "{kind} {name} exists"),
            Self::Conflict => f.write_str("another change came first; try again"),
            Self::Changed => f.write_str("it was changed since its etag was read; read it again"),
            Self::Throttled { after } => {
                write!(f, "too many requests are waiting; try again in {} ms", after.millis())
            }
            Self::TooManyAttempts { closed: true, .. } => {
                f.write_str("too many attempts have failed; use a device that was used before, or set a new password")
            }
            Self::TooManyAttempts { after, .. } => {
                write!(f, "too many attempts have failed; try again in {} s", after.millis().saturating_add(999) / 1000)
            }
            Self::DeadlineExceeded => f.write_str("the deadline passed before the request was done"),
            Self::Unavailable(_) => f.write_str("the service cannot answer just now; try again"),
            Self::Internal(_) => f.write_str("something failed here; the log has the details"),
        }
    }
}

/// What an unauthenticated caller is told.
const fn unauthenticated_text(reason: Reason) -> &'static str {
    match reason {
        Reason::InvalidCredentials => "the login or the password is wrong",
        Reason::ClientAuthenticationFailed => "the client is unknown or did not prove who it is",
        Reason::RefreshTokenInvalid => "the refresh token is not one of this server's for this client",
        Reason::RefreshTokenSuperseded => "a newer refresh token of this session is in use",
        Reason::RefreshTokenReused => "the refresh token was used before; the session was ended, sign in again",
        Reason::SessionExpired => "the session has expired; sign in again",
        Reason::SessionRevoked => "the session was ended; sign in again",
        Reason::CodeInvalid => "the code or link is wrong, was used, or has ended",
        Reason::SignInTooOld => "this needs a sign-in at most 15 minutes old; sign in again",
        _ => "the token is missing, expired or not for this server",
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unavailable(source) | Self::Internal(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}
