//! Converts errors to statuses. This is the only file that builds a [`tonic::Status`].

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{MAX_REQUEST, proto::pb::ErrorReason};
use crate::{
    error::{Error, Reason, Violation},
    service::{FRESH_SIGN_IN, RequestContext},
};

/// The domain of every `google.rpc.ErrorInfo`.
pub(super) const DOMAIN: &str = "chancery";
/// Suggested retry delay after an outage or a conflict.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Maximum length of each text of a status, in bytes. A status travels in headers, where proxies and clients take
/// little: a text of the request that it quotes must not make it unreadable.
const MAX_TEXT: usize = 512;
/// Maximum length of all violations of a status together, in bytes.
const MAX_VIOLATIONS: usize = 4096;

/// The beginning of a text, if it is long.
fn bounded(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    format!("{}…", text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default())
}

/// Adds as many violations as there is room for, and always the first.
fn add_violations(details: &mut ErrorDetails, violations: &[Violation]) {
    let mut room = MAX_VIOLATIONS;
    for violation in violations {
        let (field, description) = (bounded(&violation.field), bounded(&violation.description));
        let Some(rest) = room.checked_sub(field.len() + description.len()) else { break };
        room = rest;
        details.add_bad_request_violation(field, description);
    }
}

/// The gRPC code of an error.
pub(super) const fn code(error: &Error) -> Code {
    match error {
        Error::Invalid(_) => Code::InvalidArgument,
        Error::Unauthenticated(_) | Error::TokenRevoked | Error::Reused { .. } | Error::Ended { .. } => {
            Code::Unauthenticated
        }
        Error::Denied(..) | Error::Lacks(_) => Code::PermissionDenied,
        Error::NotFound(..) => Code::NotFound,
        Error::Exists(..) => Code::AlreadyExists,
        Error::Precondition(_) | Error::TokenTooLarge { .. } | Error::Needs(_) => Code::FailedPrecondition,
        Error::Conflict | Error::Changed | Error::VersionMismatch { .. } | Error::TooSlow => Code::Aborted,
        Error::Throttled { .. }
        | Error::SignInInProgress { .. }
        | Error::TooManyAttempts { .. }
        | Error::RateLimited { .. } => Code::ResourceExhausted,
        Error::DeadlineExceeded => Code::DeadlineExceeded,
        Error::Unavailable(_) | Error::Stopping => Code::Unavailable,
        Error::Internal(_) => Code::Internal,
    }
}

/// The status of an error, with all details. The private source is only logged.
pub(super) fn status(ctx: &RequestContext, error: &Error) -> Status {
    let mut metadata = std::collections::HashMap::new();
    match error {
        Error::Reused { session, rotated_at } => {
            metadata.insert("session_id".to_owned(), session.clone());
            metadata.insert("rotated_at".to_owned(), rotated_at.to_string());
        }
        Error::Lacks(permission) => {
            metadata.insert("permission".to_owned(), (*permission).to_owned());
        }
        Error::Unauthenticated(Reason::SignInTooOld) => {
            metadata.insert("max_age".to_owned(), FRESH_SIGN_IN.seconds().to_string());
        }
        Error::TooManyAttempts { by, closed, .. } => {
            metadata.insert("counted_by".to_owned(), (*by).to_owned());
            metadata.insert("closed".to_owned(), closed.to_string());
        }
        Error::TokenTooLarge { field, token } => {
            metadata.insert("field".to_owned(), (*field).to_owned());
            metadata.insert("client_id".to_owned(), token.client.clone());
            metadata.insert("audience".to_owned(), token.audience.clone());
            metadata.insert("bytes".to_owned(), token.bytes.to_string());
            metadata.insert("limit_bytes".to_owned(), token.limit.to_string());
        }
        Error::VersionMismatch { current } => {
            metadata.insert("current_version".to_owned(), current.unwrap_or_default().to_string());
        }
        Error::Ended { cause } => {
            metadata.insert("cause".to_owned(), (*cause).to_owned());
        }
        Error::Internal(source) | Error::Unavailable(source) => {
            tracing::error!(request_id = %ctx.request_id, %source, reason = error.reason().as_str(), "call failed");
            metadata.insert("request_id".to_owned(), ctx.request_id.as_str().to_owned());
        }
        _ => {}
    }
    let mut details = ErrorDetails::with_error_info(error.reason().as_str(), DOMAIN, metadata);
    match error {
        Error::Invalid(violations) => add_violations(&mut details, violations),
        Error::NotFound(kind, name) | Error::Exists(kind, name) => {
            details.set_resource_info(*kind, bounded(name), "", "");
        }
        Error::Precondition(text) => {
            details.add_precondition_failure_violation("STATE", "", bounded(text));
        }
        Error::Needs(reason) => {
            details.add_precondition_failure_violation(reason.as_str(), "", error.to_string());
        }
        Error::Throttled { after }
        | Error::SignInInProgress { after }
        | Error::TooManyAttempts { after, .. }
        | Error::RateLimited { after } => {
            details.set_retry_info(Some(after.duration()));
        }
        Error::Conflict | Error::Unavailable(_) | Error::Stopping => {
            details.set_retry_info(Some(RETRY_DELAY));
        }
        Error::Internal(_) => {
            details.set_request_info(ctx.request_id.as_str(), "");
        }
        _ => {}
    }
    Status::with_error_details(code(error), bounded(&error.to_string()), details)
}

/// The status for an error from tonic itself, with details added.
pub(super) fn detailed_status(code: Code, message: &str) -> Status {
    let (code, reason) = match code {
        // The method is known, so the message uses an unsupported compression.
        Code::Unimplemented => (code, Reason::RequestMalformed),
        Code::NotFound => (code, Reason::NotFound),
        Code::OutOfRange => (code, Reason::RequestTooLarge),
        Code::DeadlineExceeded | Code::Cancelled => (Code::DeadlineExceeded, Reason::DeadlineExceeded),
        Code::ResourceExhausted => (code, Reason::Overloaded),
        Code::Unavailable => (code, Reason::Unavailable),
        Code::Internal | Code::InvalidArgument => (Code::InvalidArgument, Reason::RequestMalformed),
        _ => (code, Reason::Internal),
    };
    let mut metadata = std::collections::HashMap::new();
    if reason == Reason::RequestTooLarge {
        metadata.insert("limit_bytes".to_owned(), MAX_REQUEST.to_string());
    }
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason.as_str(), DOMAIN, metadata))
}

/// The error reason in the status headers.
pub(super) fn reason_in(headers: &http::HeaderMap) -> Option<Reason> {
    let info = Status::from_header_map(headers)?.get_details_error_info()?;
    Reason::ALL.iter().copied().find(|r| r.as_str() == info.reason)
}

/// The name of a code in metrics and logs.
pub(super) const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "Ok",
        Code::Cancelled => "Cancelled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// The status for a method that is not in the access table.
pub(super) fn unknown_method() -> Status {
    let details = ErrorDetails::with_error_info(Reason::MethodUnknown.as_str(), DOMAIN, []);
    Status::with_error_details(Code::Unimplemented, "there is no such method", details)
}

/// The status of a call whose client went away. It only gets into the log and the metrics.
pub(super) fn client_gone() -> Status {
    let details = ErrorDetails::with_error_info(Reason::RequestMalformed.as_str(), DOMAIN, []);
    Status::with_error_details(Code::Cancelled, "the client went away before its message was complete", details)
}

/// The status for a call that exceeded its deadline.
pub(super) fn deadline_exceeded() -> Status {
    detailed_status(Code::DeadlineExceeded, &Error::DeadlineExceeded.to_string())
}

/// The wire value of a reason.
#[must_use]
pub const fn reason_code(reason: Reason) -> ErrorReason {
    match reason {
        Reason::InvalidArgument => ErrorReason::InvalidArgument,
        Reason::InvalidCredentials => ErrorReason::InvalidCredentials,
        Reason::ClientAuthenticationFailed => ErrorReason::ClientAuthenticationFailed,
        Reason::TokenInvalid => ErrorReason::TokenInvalid,
        Reason::ClientNotAllowed => ErrorReason::ClientNotAllowed,
        Reason::OriginNotAllowed => ErrorReason::OriginNotAllowed,
        Reason::GuestNotAllowed => ErrorReason::GuestNotAllowed,
        Reason::PermissionDenied => ErrorReason::PermissionDenied,
        Reason::RefreshTokenInvalid => ErrorReason::RefreshTokenInvalid,
        Reason::RefreshTokenSuperseded => ErrorReason::RefreshTokenSuperseded,
        Reason::RefreshTokenReused => ErrorReason::RefreshTokenReused,
        Reason::SessionExpired => ErrorReason::SessionExpired,
        Reason::SessionRevoked => ErrorReason::SessionRevoked,
        Reason::NotFound => ErrorReason::NotFound,
        Reason::AlreadyExists => ErrorReason::AlreadyExists,
        Reason::FailedPrecondition => ErrorReason::FailedPrecondition,
        Reason::Conflict => ErrorReason::Conflict,
        Reason::CodeInvalid => ErrorReason::CodeInvalid,
        Reason::EtagMismatch => ErrorReason::EtagMismatch,
        Reason::VersionMismatch => ErrorReason::VersionMismatch,
        Reason::NewPasswordRequired => ErrorReason::NewPasswordRequired,
        Reason::OwnTokenRequired => ErrorReason::OwnTokenRequired,
        Reason::SignInTooOld => ErrorReason::SignInTooOld,
        Reason::Overloaded => ErrorReason::Overloaded,
        Reason::SignInInProgress => ErrorReason::SignInInProgress,
        Reason::TooManyAttempts => ErrorReason::TooManyAttempts,
        Reason::RateLimited => ErrorReason::RateLimited,
        Reason::RequestTooLarge => ErrorReason::RequestTooLarge,
        Reason::DeadlineExceeded => ErrorReason::DeadlineExceeded,
        Reason::Unavailable => ErrorReason::Unavailable,
        Reason::MethodUnknown => ErrorReason::MethodUnknown,
        Reason::RequestMalformed => ErrorReason::RequestMalformed,
        Reason::WatcherTooSlow => ErrorReason::WatcherTooSlow,
        Reason::TokenTooLarge => ErrorReason::TokenTooLarge,
        Reason::Internal => ErrorReason::Internal,
    }
}

/// The reason for a wire value.
#[must_use]
pub fn reason_of_proto(value: ErrorReason) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|r| reason_code(*r) == value)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::error::OversizedToken;

    #[test]
    fn g03_the_wire_and_the_crate_have_the_same_reasons() {
        for reason in Reason::ALL {
            assert_eq!(reason_code(*reason).as_str_name(), reason.as_str());
        }
        for value in 1.. {
            let Ok(value) = ErrorReason::try_from(value) else { break };
            assert!(reason_of_proto(value).is_some(), "{value:?}");
        }
    }

    fn context() -> RequestContext {
        RequestContext {
            now: crate::time::Timestamp::from_millis(0),
            request_id: "req_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
            deadline: None,
            peer: String::new(),
            user_agent: String::new(),
            language: None,
            origin: None,
            caller: crate::service::CallerName::default(),
        }
    }

    /// One line for each kind of error: code, reason, message, metadata, other details.
    #[test]
    fn g03_the_error_table_is_unchanged() {
        let at = crate::time::Timestamp::from_millis(0);
        let errors = [
            Error::invalid("login", "must not be empty"),
            Error::Unauthenticated(Reason::InvalidCredentials),
            Error::Unauthenticated(Reason::TokenInvalid),
            Error::TokenRevoked,
            Error::Reused { session: "ses_x".into(), rotated_at: at },
            Error::Ended { cause: "logout" },
            Error::Denied(Reason::ClientNotAllowed, "the client lacks the grant".into()),
            Error::NotFound("user", "ada".into()),
            Error::Exists("user", "ada".into()),
            Error::Precondition("not now".into()),
            Error::TokenTooLarge {
                field: "role_id",
                token: Box::new(OversizedToken {
                    client: "app".into(),
                    audience: "api".into(),
                    bytes: 5000,
                    limit: 4096,
                }),
            },
            Error::Needs(Reason::NewPasswordRequired),
            Error::Needs(Reason::OwnTokenRequired),
            Error::Lacks("keys.read"),
            Error::TooSlow,
            Error::Unauthenticated(Reason::SignInTooOld),
            Error::Changed,
            Error::Conflict,
            Error::Throttled { after: crate::time::Ttl::from_millis(50) },
            Error::SignInInProgress { after: crate::time::Ttl::from_millis(50) },
            Error::TooManyAttempts { after: crate::time::Ttl::from_millis(1500), by: "account", closed: false },
            Error::TooManyAttempts { after: crate::time::Ttl::from_days(99), by: "account", closed: true },
            Error::TooManyAttempts { after: crate::time::Ttl::from_millis(1500), by: "inbox", closed: false },
            Error::TooManyAttempts { after: crate::time::Ttl::from_millis(1500), by: "network", closed: false },
            Error::RateLimited { after: crate::time::Ttl::from_millis(1500) },
            Error::DeadlineExceeded,
            Error::Unavailable("private".into()),
            Error::Stopping,
            Error::Internal("private".into()),
        ];
        let mut table = String::new();
        for error in &errors {
            let status = status(&context(), error);
            let info = status.get_details_error_info().unwrap();
            let mut metadata: Vec<_> = info.metadata.into_iter().collect();
            metadata.sort();
            let all = status.get_error_details();
            let more = [
                ("BadRequest", all.bad_request().is_some()),
                ("RetryInfo", all.retry_info().is_some()),
                ("ResourceInfo", all.resource_info().is_some()),
                ("PreconditionFailure", all.precondition_failure().is_some()),
                ("RequestInfo", all.request_info().is_some()),
            ];
            let more: Vec<_> = more.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
            let (code, message) = (status.code(), status.message());
            writeln!(table, "{code:?} {} {message:?} {metadata:?} {more:?}", info.reason).unwrap();
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_private_source_stays_out_of_the_status() {
        let status = status(&context(), &Error::Internal("the private cause".into()));
        let wire = format!("{}{:?}", status.message(), status.details());
        assert!(!wire.contains("private cause"));
        assert!(status.get_details_request_info().is_some());
    }
}
