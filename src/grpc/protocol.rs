//! What makes a request a gRPC call (gRPC over HTTP/2, "Requests").

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tonic::{Code, Status, body::Body};

use super::{MAX_REQUEST, status::detailed_status};
use crate::service::IMPORT_USERS;

/// Length of the prefix of a gRPC message, in bytes: a flag and its length.
const MESSAGE_PREFIX: usize = 5;

/// The answer to a request that is no gRPC call. Browsers send `text/plain` and forms to other origins without asking,
/// so they must not reach any method.
pub(super) fn refuse_other_protocols(request: &Request<Body>) -> Option<Response<Body>> {
    let is_grpc = request.headers().get(header::CONTENT_TYPE).is_some_and(is_grpc);
    let (status, text) = match (request.method() == Method::POST, is_grpc) {
        (true, true) => return None,
        (true, false) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "this port takes application/grpc only\n"),
        (false, _) => (StatusCode::METHOD_NOT_ALLOWED, "this port takes gRPC calls only, which are POST requests\n"),
    };
    // An answer to HEAD has no body, and nothing below removes it.
    let text = if request.method() == Method::HEAD { "" } else { text };
    let mut response = Response::new(Body::new(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    Some(response)
}

/// Whether a content type is gRPC with the one message format served here.
fn is_grpc(value: &HeaderValue) -> bool {
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    ["application/grpc", "application/grpc+proto"].iter().any(|ours| essence.eq_ignore_ascii_case(ours))
}

/// Whether a method takes a stream of messages.
fn takes_stream(path: &str) -> bool {
    path == IMPORT_USERS || path.starts_with("/grpc.reflection.")
}

/// Waits for the message of a call, and for the end of its request: a handler runs only once there is exactly one
/// message. Methods that take a stream read it themselves.
pub(super) async fn with_whole_message(request: Request<Body>) -> Result<Request<Body>, Status> {
    if takes_stream(request.uri().path()) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let message = whole_message(body).await?;
    if has_second_message(&message) {
        return Err(detailed_status(Code::InvalidArgument, "the method takes one message, and there are several"));
    }
    Ok(Request::from_parts(parts, Body::new(Full::new(message))))
}

/// Reads a body up to the size limit: tonic refuses a longer message.
async fn whole_message(mut body: Body) -> Result<Bytes, Status> {
    let mut message = BytesMut::new();
    while message.len() <= MESSAGE_PREFIX + MAX_REQUEST {
        match body.frame().await {
            None => break,
            Some(Err(broken)) => return Err(broken),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                // Most messages arrive in one piece.
                if message.is_empty() && http_body::Body::is_end_stream(&body) {
                    return Ok(data);
                }
                message.extend_from_slice(&data);
            }
        }
    }
    Ok(message.freeze())
}

fn has_second_message(mut bytes: &[u8]) -> bool {
    if bytes.len() < MESSAGE_PREFIX {
        return false;
    }
    bytes.advance(1);
    let length = usize::try_from(bytes.get_u32()).unwrap_or(usize::MAX);
    length <= MAX_REQUEST && bytes.len() > length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grpc_with_protobuf_messages_is_taken() {
        let takes = |content_type: &str| is_grpc(&content_type.parse().unwrap());
        for ours in ["application/grpc", "Application/gRPC+proto", "application/grpc; charset=utf-8"] {
            assert!(takes(ours), "{ours}");
        }
        for other in [
            "",
            "text/plain",
            "application/json",
            "application/x-www-form-urlencoded",
            "application/grpc+json",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpcx",
            "text/plain; application/grpc",
            "text/plain, application/grpc",
        ] {
            assert!(!takes(other), "{other}");
        }
    }

    #[test]
    fn a_second_message_is_seen_behind_a_first_of_any_length() {
        assert!(!has_second_message(b""));
        assert!(!has_second_message(b"\0\0\0\0\0"));
        assert!(!has_second_message(b"\0\0\0\0\x02ab"));
        assert!(!has_second_message(b"\0\0\0\0\x03ab"), "cut short");
        assert!(has_second_message(b"\0\0\0\0\0\0\0\0\0\0"));
        assert!(has_second_message(b"\0\0\0\0\x02ab\0"));
    }
}
