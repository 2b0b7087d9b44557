//! A status as JSON (Connect protocol, "Error end-of-stream" and "Error codes").

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use http::{HeaderValue, Response, StatusCode, header};
use prost::Message;
use serde::Serialize;
use serde_json::Value;
use tonic::{Code, Status, body::Body};
use tonic_types::{StatusExt, pb::Status as WireStatus};

use super::{messages::shown, whole};

/// The answer to a call that failed.
pub(super) fn answer(status: &Status) -> Response<Body> {
    let details = WireStatus::decode(status.details()).map(|decoded| decoded.details).unwrap_or_default();
    let details = details.iter().map(|any| Detail::of(&any.type_url, &any.value)).collect();
    let body = ErrorJson { code: name(status.code()), message: status.message(), details };
    // Strings and JSON values: it cannot fail.
    let mut response = Response::new(whole(serde_json::to_vec(&body).unwrap_or_default()));
    *response.status_mut() = http_status(status.code());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status.code() == Code::Unauthenticated {
        // RFC 9110 §15.5.2 wants a challenge. `Basic` would make browsers ask for a password.
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(wait) = status.get_details_retry_info().and_then(|info| info.retry_delay) {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, seconds.max(1).into());
    }
    response
}

/// An error, in the order in which people read it.
#[derive(Serialize)]
struct ErrorJson<'a> {
    code: &'static str,
    message: &'a str,
    details: Vec<Detail<'a>>,
}

/// A detail. `debug` is the same as JSON, for those who read the answer without a library.
#[derive(Serialize)]
struct Detail<'a> {
    #[serde(rename = "type")]
    name: &'a str,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<Value>,
}

impl<'a> Detail<'a> {
    fn of(type_url: &'a str, value: &[u8]) -> Self {
        let name = type_url.rsplit('/').next().unwrap_or_default();
        Self { name, value: STANDARD_NO_PAD.encode(value), debug: shown(name, value) }
    }
}

/// The name of a code.
const fn name(code: Code) -> &'static str {
    match code {
        Code::Cancelled => "canceled",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
        Code::Ok | Code::Unknown => "unknown",
    }
}

/// The HTTP status of a code.
const fn http_status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        // 499, which nobody registered: the caller has gone.
        Code::Cancelled => match StatusCode::from_u16(499) {
            Ok(status) => status,
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
        },
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
