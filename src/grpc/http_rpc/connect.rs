//! One JSON message in, one out (Connect protocol, "Unary request" and "Unary response").

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use chancery_guard::listener::Claim;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use tokio::time::{Duration, Instant, timeout_at};
use tonic::{Code, Status, body::Body};
use tower::{Service as TowerService, ServiceExt};

use super::{
    answered, error_json,
    messages::{self, Shape},
    whole,
};
use crate::{
    grpc::{
        MAX_REQUEST,
        context::MAX_HTTP_DEADLINE as MAX_DEADLINE,
        status::{client_gone, deadline_exceeded, detailed_status, unknown_method},
    },
    service::RequestContext,
};

const VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
const TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");

/// Answers a call with a JSON message.
///
/// # Errors
/// The status of a request that no call can be made of.
pub(super) async fn answer<S>(edge: S, ctx: &RequestContext, request: Request<Body>) -> Result<Response<Body>, Status>
where
    S: TowerService<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let shape = messages::shape(request.uri().path()).filter(|shape| shape.is_unary).ok_or_else(unary_only)?;
    let call = read(shape, ctx, request).await?;
    let (parts, body) = answered(edge.oneshot(call).await).into_parts();
    Ok(match message(&parts.headers, body).await.and_then(|message| messages::write(shape, &message)) {
        Ok(json) => {
            let mut response = Response::new(whole(json));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(refused) => error_json::answer(&refused),
    })
}

/// The call that a request stands for.
async fn read(shape: &Shape, ctx: &RequestContext, request: Request<Body>) -> Result<Request<Body>, Status> {
    let (mut parts, body) = request.into_parts();
    if parts.headers.get(VERSION).is_some_and(|version| version != "1") {
        return Err(malformed("connect-protocol-version must be 1"));
    }
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(detailed_status(Code::Unimplemented, "content-encoding must be identity: calls are small"));
    }
    let deadline = Instant::now() + timeout(&parts.headers)?;
    // Until its message has arrived, a call may be cut off.
    if let Some(claim) = parts.extensions.get::<Claim>() {
        claim.waive();
    }
    let json = timeout_at(deadline, whole_body(body)).await.map_err(|_| deadline_exceeded())??;
    let message = messages::read(shape, &json)?;
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
    parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.extensions.insert(RequestContext { deadline: Some(deadline), ..ctx.clone() });
    Ok(Request::from_parts(parts, whole(message)))
}

/// How long a call may take: at most ten digits of milliseconds (Connect protocol, "Timeout").
fn timeout(headers: &HeaderMap) -> Result<Duration, Status> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(MAX_DEADLINE) };
    let digits = value.to_str().ok().filter(|text| (1..=10).contains(&text.len()));
    let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let millis = digits.and_then(|text| text.parse().ok());
    let millis = millis.ok_or_else(|| malformed("connect-timeout-ms must be milliseconds, in at most ten digits"))?;
    Ok(Duration::from_millis(millis).min(MAX_DEADLINE))
}

/// The body, up to the size of a message.
async fn whole_body(mut body: Body) -> Result<Bytes, Status> {
    let too_large = || {
        let text = format!("the message is larger than {MAX_REQUEST} bytes");
        detailed_status(Code::OutOfRange, &text)
    };
    // Before anything of it is asked for, if its length is announced.
    if http_body::Body::size_hint(&body).lower() > MAX_REQUEST as u64 {
        return Err(too_large());
    }
    let mut json = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| client_gone())?.into_data() else { continue };
        if json.len() + data.len() > MAX_REQUEST {
            return Err(too_large());
        }
        // Most messages arrive in one piece.
        if json.is_empty() && http_body::Body::is_end_stream(&body) {
            return Ok(data);
        }
        json.extend_from_slice(&data);
    }
    Ok(json.freeze())
}

/// The message of an answer, without its prefix, or the error that came instead.
async fn message(headers: &HeaderMap, mut body: Body) -> Result<Bytes, Status> {
    if let Some(refused) = Status::from_header_map(headers) {
        return Err(refused);
    }
    let mut answer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => answer.extend_from_slice(&data),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                if let Some(refused) = Status::from_header_map(&trailers).filter(|status| status.code() != Code::Ok) {
                    return Err(refused);
                }
            }
        }
    }
    Ok(answer.split_off(messages::PREFIX.min(answer.len())).freeze())
}

fn malformed(text: &str) -> Status {
    detailed_status(Code::InvalidArgument, text)
}

/// A stream is not one message. gRPC-Web carries it.
fn unary_only() -> Status {
    let refused = unknown_method();
    let text = "the method answers with a stream, which gRPC-Web carries and JSON does not";
    Status::with_details(refused.code(), text, Bytes::copy_from_slice(refused.details()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_number_of_milliseconds_and_has_a_bound() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, text.parse().unwrap());
            timeout(&headers).map_err(|status| status.code())
        };
        assert_eq!(timeout(&HeaderMap::new()).unwrap(), MAX_DEADLINE);
        assert_eq!(of("0"), Ok(Duration::ZERO));
        assert_eq!(of("0250"), Ok(Duration::from_millis(250)));
        assert_eq!(of("9999999999"), Ok(MAX_DEADLINE));
        for bad in ["", "-1", "+1", "1.5", "1s", "99999999999"] {
            assert_eq!(of(bad), Err(Code::InvalidArgument), "{bad}");
        }
    }
}
