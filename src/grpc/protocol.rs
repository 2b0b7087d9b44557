//! What makes a request a gRPC call (gRPC over HTTP/2, "Requests").

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use tonic::{Code, Status, body::Body};

use super::{
    MAX_REQUEST,
    status::{client_gone, deadline_exceeded, detailed_status},
};
use crate::service::IMPORT_USERS;

/// Length of the prefix of a gRPC message, in bytes: a flag and its length.
const MESSAGE_PREFIX: usize = 5;
/// How long a client of reflection, which anybody may be, may send nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// Streams that anybody may open and that never end.
const ANONYMOUS_STREAMS: [&str; 2] = ["/chancery.v1.KeyService/WatchJwks", "/grpc.health.v1.Health/Watch"];

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
    path == IMPORT_USERS || is_reflection(path)
}

fn is_reflection(path: &str) -> bool {
    path.starts_with("/grpc.reflection.")
}

/// Whether a call whose message has arrived keeps its connection when there are too many. Otherwise anybody could
/// hold all connections for good with streams that cost nothing.
pub(super) fn keeps_connection(path: &str) -> bool {
    !is_reflection(path) && !ANONYMOUS_STREAMS.contains(&path)
}

/// Waits for the message of a call, and for the end of its request: a handler runs only once there is exactly one
/// message. Methods that take a stream read it themselves.
pub(super) async fn with_whole_message(request: Request<Body>) -> Result<Request<Body>, Status> {
    if is_reflection(request.uri().path()) {
        return Ok(request.map(ended_by_silence));
    }
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

/// A body that fails once nothing of it arrives for too long.
fn ended_by_silence(body: Body) -> Body {
    let frames = stream::unfold(Some(body), |body| async {
        let mut body = body?;
        match tokio::time::timeout(SILENCE, body.frame()).await {
            Ok(frame) => frame.map(|frame| (frame, Some(body))),
            Err(_) => Some((Err(deadline_exceeded()), None)),
        }
    });
    Body::new(StreamBody::new(frames))
}

/// Reads a body up to the size limit: tonic refuses a longer message.
async fn whole_message(mut body: Body) -> Result<Bytes, Status> {
    let mut message = BytesMut::new();
    while message.len() <= MESSAGE_PREFIX + MAX_REQUEST {
        match body.frame().await {
            None => break,
            Some(Err(broken)) if is_no_base64(&broken) => {
                return Err(detailed_status(Code::InvalidArgument, "the message is no base64"));
            }
            // The client reset the call, or its connection ended.
            Some(Err(_)) => return Err(client_gone()),
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

/// Whether a text of gRPC-Web cannot be decoded. The library says so only in words, and otherwise as of a connection that
/// broke; a test notices other words.
fn is_no_base64(broken: &Status) -> bool {
    let words = broken.message().strip_prefix("tonic-web: ").unwrap_or_default();
    words.starts_with("Invalid ") || words == "malformed base64 request"
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
    use crate::service::method;

    #[test]
    fn the_streams_that_keep_no_connection_are_methods_that_anyone_may_call() {
        for path in ANONYMOUS_STREAMS {
            assert_eq!(method(path).map(|(_, access)| access), Some(crate::service::Access::Anyone), "{path}");
        }
        assert!(keeps_connection("/chancery.v1.RevocationService/WatchRevocations"));
        assert!(keeps_connection("/chancery.v1.AuthService/Login"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_of_reflection_that_falls_silent_is_told_that_its_time_is_over() {
        let silent = stream::iter([Ok::<_, Status>(http_body::Frame::data(Bytes::from_static(b"x")))]);
        let silent = futures_util::StreamExt::chain(silent, stream::pending());
        let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        let request = Request::builder().uri(path).body(Body::new(StreamBody::new(silent))).unwrap();
        let began = tokio::time::Instant::now();
        let mut body = with_whole_message(request).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "x");
        let end = tokio::time::timeout(2 * SILENCE, body.frame()).await.expect("no end").unwrap().unwrap_err();
        assert_eq!((end.code(), began.elapsed().as_secs()), (Code::DeadlineExceeded, SILENCE.as_secs()));
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_client_that_goes_away_in_the_middle_of_its_message_has_cancelled_its_call() {
        let half = Ok(http_body::Frame::data(Bytes::from_static(b"\0\0\0\0\x02a")));
        let broken = stream::iter([half, Err(Status::internal("the connection broke"))]);
        let request = Request::builder().uri("/chancery.v1.AuthService/Login");
        let request = request.body(Body::new(StreamBody::new(broken))).unwrap();
        assert_eq!(with_whole_message(request).await.unwrap_err().code(), Code::Cancelled);
    }

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
