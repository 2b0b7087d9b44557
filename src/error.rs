//! The error type of the crate. Each variant says what the caller should do, and has a public reason. A private
//! source goes to the logs only.

mod violations;

use std::{borrow::Cow, error::Error as StdError, fmt};

pub use self::violations::Violations;
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
    /// The client failed to authenticate.
    ClientAuthenticationFailed = "CLIENT_AUTHENTICATION_FAILED",
    /// The bearer token is not valid here.
    TokenInvalid = "TOKEN_INVALID",
    /// The client may not do this.
    ClientNotAllowed = "CLIENT_NOT_ALLOWED",
    /// The client has not declared the origin of the page that makes the call.
    OriginNotAllowed = "ORIGIN_NOT_ALLOWED",
    /// The caller is a guest, who has no account.
    GuestNotAllowed = "GUEST_NOT_ALLOWED",
    /// The caller lacks a permission.
    PermissionDenied = "PERMISSION_DENIED",
    /// The refresh token was not issued by this server, or belongs to another client.
    RefreshTokenInvalid = "REFRESH_TOKEN_INVALID",
    /// A newer refresh token is already in use; nothing was revoked.
    RefreshTokenSuperseded = "REFRESH_TOKEN_SUPERSEDED",
    /// The refresh token had been used before; the session was revoked.
    RefreshTokenReused = "REFRESH_TOKEN_REUSED",
    /// The session was idle for too long, or reached its maximum age.
    SessionExpired = "SESSION_EXPIRED",
    /// The session was revoked.
    SessionRevoked = "SESSION_REVOKED",
    /// There is no such thing.
    NotFound = "NOT_FOUND",
    /// Something of this name already exists.
    AlreadyExists = "ALREADY_EXISTS",
    /// The current state does not allow this.
    FailedPrecondition = "FAILED_PRECONDITION",
    /// A concurrent change came first.
    Conflict = "CONFLICT",
    /// The code or link is wrong, used up or expired.
    CodeInvalid = "CODE_INVALID",
    /// The link needs a new password.
    NewPasswordRequired = "NEW_PASSWORD_REQUIRED",
    /// The link needs the account's own token.
    OwnTokenRequired = "OWN_TOKEN_REQUIRED",
    /// It has changed since the caller read it.
    EtagMismatch = "ETAG_MISMATCH",
    /// A value has another version than the caller expects.
    VersionMismatch = "VERSION_MISMATCH",
    /// The user signed in too long ago for this.
    SignInTooOld = "SIGN_IN_TOO_OLD",
    /// Too many requests are waiting; this one was shed.
    Overloaded = "OVERLOADED",
    /// Other sign-ins at the account have not been answered yet.
    SignInInProgress = "SIGN_IN_IN_PROGRESS",
    /// Too many attempts have failed, or too many mails were requested.
    TooManyAttempts = "TOO_MANY_ATTEMPTS",
    /// The user has changed too much in a short time.
    RateLimited = "RATE_LIMITED",
    /// An access token would be larger than every consumer takes.
    TokenTooLarge = "TOKEN_TOO_LARGE",
    /// The request is larger than the limit.
    RequestTooLarge = "REQUEST_TOO_LARGE",
    /// The deadline passed before there was an answer.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// The database cannot be reached, or this process must not sign tokens right now.
    Unavailable = "UNAVAILABLE",
    /// There is no such method.
    MethodUnknown = "METHOD_UNKNOWN",
    /// The request could not be decoded.
    RequestMalformed = "REQUEST_MALFORMED",
    /// The reader of a stream fell too far behind.
    WatcherTooSlow = "WATCHER_TOO_SLOW",
    /// An internal failure.
    Internal = "INTERNAL",
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path on the wire, such as `attributes.limits.max`.
    pub field: Cow<'static, str>,
    /// The problem; never the value itself.
    pub description: String,
}

/// An access token that would be too large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OversizedToken {
    /// The client it is for.
    pub client: String,
    /// Its audience.
    pub audience: String,
    /// Its size, in bytes.
    pub bytes: usize,
    /// The maximum.
    pub limit: usize,
}

/// What went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The request is invalid; every wrong field is named at once.
    Invalid(Vec<Violation>),
    /// The caller is not authenticated, or its credentials have expired.
    Unauthenticated(Reason),
    /// The bearer token is authentic, but its session has ended or its client is disabled.
    TokenRevoked,
    /// A refresh token was presented a second time. The session was revoked.
    Reused {
        /// The session.
        session: String,
        /// When the presented token was exchanged, as far as that is still known.
        rotated_at: Timestamp,
    },
    /// The session was revoked.
    Ended {
        /// The cause, as documented for the metadata.
        cause: &'static str,
    },
    /// The caller is not allowed to do this; the text says what is missing.
    Denied(Reason, String),
    /// The caller lacks this permission.
    Lacks(&'static str),
    /// The reader of a stream fell too far behind.
    TooSlow,
    /// Nothing of this kind has this name.
    NotFound(&'static str, String),
    /// Something of this kind already has this name.
    Exists(&'static str, String),
    /// The current state does not allow this; the text says why.
    Precondition(String),
    /// An access token would be too large, now or after what is being assigned.
    TokenTooLarge {
        /// The field that is being assigned; empty if a token was to be issued.
        field: &'static str,
        /// The token.
        token: Box<OversizedToken>,
    },
    /// The call is right but for one thing that this case needs; with it, it can be sent again.
    Needs(Reason),
    /// A concurrent change came first.
    Conflict,
    /// It has changed since the caller read it.
    Changed,
    /// A value has another version than the caller expects.
    VersionMismatch {
        /// The version; none if there is no value.
        current: Option<i64>,
    },
    /// Too many requests are waiting; this one was shed.
    Throttled {
        /// How long to wait before retrying.
        after: Ttl,
    },
    /// Other sign-ins at the account have not been answered yet.
    SignInInProgress {
        /// How long to wait before retrying.
        after: Ttl,
    },
    /// Too many attempts have failed, or too many mails were requested.
    TooManyAttempts {
        /// How long to wait before the next attempt.
        after: Ttl,
        /// What the attempts were counted by, as documented for the metadata.
        by: &'static str,
        /// Whether no further attempt is allowed until the count expires.
        closed: bool,
    },
    /// The user has changed too much in a short time.
    RateLimited {
        /// How long to wait before the next change.
        after: Ttl,
    },
    /// The deadline passed before there was an answer.
    DeadlineExceeded,
    /// The database cannot be reached, or this process must not sign tokens right now.
    Unavailable(Source),
    /// This process is stopping, which is no failure.
    Stopping,
    /// An internal failure.
    Internal(Source),
}

impl Error {
    /// What is wrong with one field.
    #[must_use]
    pub fn invalid(field: impl Into<Cow<'static, str>>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { field: field.into(), description: description.into() }])
    }

    /// The public reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::InvalidArgument,
            Self::Unauthenticated(reason) | Self::Denied(reason, _) | Self::Needs(reason) => *reason,
            Self::TokenRevoked => Reason::TokenInvalid,
            Self::Reused { .. } => Reason::RefreshTokenReused,
            Self::Ended { .. } => Reason::SessionRevoked,
            Self::Lacks(_) => Reason::PermissionDenied,
            Self::TooSlow => Reason::WatcherTooSlow,
            Self::NotFound(..) => Reason::NotFound,
            Self::Exists(..) => Reason::AlreadyExists,
            Self::Precondition(_) => Reason::FailedPrecondition,
            Self::TokenTooLarge { .. } => Reason::TokenTooLarge,
            Self::Conflict => Reason::Conflict,
            Self::Changed => Reason::EtagMismatch,
            Self::VersionMismatch { .. } => Reason::VersionMismatch,
            Self::Throttled { .. } => Reason::Overloaded,
            Self::SignInInProgress { .. } => Reason::SignInInProgress,
            Self::TooManyAttempts { .. } => Reason::TooManyAttempts,
            Self::RateLimited { .. } => Reason::RateLimited,
            Self::DeadlineExceeded => Reason::DeadlineExceeded,
            Self::Unavailable(_) | Self::Stopping => Reason::Unavailable,
            Self::Internal(_) => Reason::Internal,
        }
    }
}

impl fmt::Display for Error {
    /// The public message. It never contains the private source.
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
            Self::TokenRevoked => {
                f.write_str("the token was revoked: its session has ended, or its client is disabled")
            }
            Self::Reused { .. } | Self::Ended { .. } => f.write_str(unauthenticated_text(self.reason())),
            Self::Denied(_, text) | Self::Precondition(text) => f.write_str(text),
            Self::Needs(reason) => f.write_str(needs_text(*reason)),
            Self::Lacks(permission) => write!(f, "the caller lacks the permission {permission}"),
            Self::TooSlow => f.write_str("the stream was not read as fast as it was written; resume from its cursor"),
            Self::NotFound(kind, name) => write!(f, "no {kind} {name}"),
            Self::Exists(kind, name) => write!(f, "{kind} {name} already exists"),
            Self::TokenTooLarge { token, .. } => {
                let OversizedToken { client, audience, bytes, limit } = &**token;
                write!(
                    f,
                    "an access token of the client {client} for {audience} would have {bytes} bytes, more than {limit}; \
                     it needs fewer permissions, scopes or mapped claims"
                )
            }
            Self::Conflict => f.write_str("a concurrent change came first; try again"),
            Self::Changed => f.write_str("it has changed since its etag was read; read it again"),
            Self::VersionMismatch { current: Some(version) } => {
                write!(f, "the value has the version {version}; read it again")
            }
            Self::VersionMismatch { current: None } => f.write_str("there is no such value"),
            Self::Throttled { after } => {
                write!(f, "too many requests are waiting; try again in {} ms", after.millis())
            }
            Self::SignInInProgress { after } => {
                write!(f, "other sign-ins at this account are in progress; try again in {} ms", after.millis())
            }
            Self::TooManyAttempts { closed: true, .. } => {
                f.write_str("too many failed attempts; sign in on a known device, or reset the password")
            }
            Self::TooManyAttempts { after, by, .. } => {
                let seconds = after.millis().saturating_add(999) / 1000;
                write!(f, "{}; try again in {seconds} s", too_many_text(by))
            }
            Self::RateLimited { after } => {
                write!(
                    f,
                    "too many changes in a short time; try again in {} s",
                    after.millis().saturating_add(999) / 1000
                )
            }
            Self::DeadlineExceeded => f.write_str("the deadline passed before the request was done"),
            Self::Unavailable(_) => f.write_str("the service is temporarily unavailable; try again"),
            Self::Stopping => f.write_str("this server is stopping; try again"),
            Self::Internal(_) => f.write_str("internal error; the server's log has the details"),
        }
    }
}

/// The message for too many attempts. Those from an address are counted together, whatever they are.
fn too_many_text(by: &str) -> &'static str {
    match by {
        "mail" | "mail_site" | "mail_provider" | "inbox" => "too many mails were requested",
        "guests" => "the client has as many guests as it may have",
        "guests_address" | "guests_network" | "guests_site" | "guests_provider" => {
            "too many new guests from this address or its network"
        }
        "data_session" => "too many changes for this session",
        "data_address" | "data_network" | "data_site" | "data_provider" => {
            "too many changes by guests from this address or its network"
        }
        "address" | "network" | "site" | "provider" => {
            "too many failed attempts or requests for mails from this address or its network"
        }
        _ => "too many failed attempts",
    }
}

/// The message for a call that needs one more thing.
const fn needs_text(reason: Reason) -> &'static str {
    match reason {
        Reason::NewPasswordRequired => {
            "the link was opened without the ticket of the person who registered; send it with new_password"
        }
        Reason::OwnTokenRequired => {
            "the link needs a bearer token of the account whose address it verifies, or the ticket"
        }
        _ => "the call lacks something",
    }
}

/// The message for an unauthenticated caller.
const fn unauthenticated_text(reason: Reason) -> &'static str {
    match reason {
        Reason::InvalidCredentials => "the login or the password is wrong",
        Reason::ClientAuthenticationFailed => "the client is unknown or failed to authenticate",
        Reason::RefreshTokenInvalid => "the refresh token was not issued by this server to this client",
        Reason::RefreshTokenSuperseded => "a newer refresh token of this session is in use",
        Reason::RefreshTokenReused => "the refresh token was used before; the session was ended, sign in again",
        Reason::SessionExpired => "the session has expired; sign in again",
        Reason::SessionRevoked => "the session was ended; sign in again",
        Reason::CodeInvalid => "the code or link is wrong, used or expired",
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
