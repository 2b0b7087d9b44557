//! What is refused before anything of a request's body is read.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::{Code, Status, body::Body};

use super::{HttpRpcService, error_json};
use crate::{
    grpc::status::{detailed_status, status, unknown_method},
    service::RequestContext,
};

/// What a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Json,
    GrpcWeb,
}

/// Why a request does not become a call.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    Method,
    ContentType,
    NotOffered,
    /// No client has declared the origin of the page.
    ForeignPage(Status),
    /// The call that it stands for cannot be made.
    Call(Status),
}

/// What a request speaks, or why it is refused.
pub(super) fn check(rpc: &HttpRpcService, ctx: &RequestContext, request: &Request<Body>) -> Result<Wire, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    let wire = wire(request.headers()).ok_or(Refusal::ContentType)?;
    let path = request.uri().path();
    let (_, access) = rpc.offered.method(path).ok_or(Refusal::NotOffered)?;
    let page = rpc.service.callers.check_page(ctx, access);
    page.map_err(|error| Refusal::ForeignPage(status(ctx, &error)))?;
    Ok(wire)
}

/// What a content type says: exactly JSON, in UTF-8 like all JSON, or one of the four names of gRPC-Web. A page can send
/// neither to another origin without that being asked first.
fn wire(headers: &HeaderMap) -> Option<Wire> {
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let text = all.next().filter(|_| all.next().is_none())?.to_str().ok()?;
    if let Some(kind) = text.strip_prefix("application/grpc-web") {
        return ["", "+proto", "-text", "-text+proto"].contains(&kind).then_some(Wire::GrpcWeb);
    }
    let (essence, parameter) = text.split_once(';').map_or((text, ""), |(essence, rest)| (essence.trim_end(), rest));
    let utf8 = ["", "charset=utf-8", "charset=\"utf-8\""];
    let utf8 = utf8.iter().any(|known| parameter.trim().eq_ignore_ascii_case(known));
    (utf8 && essence.eq_ignore_ascii_case("application/json")).then_some(Wire::Json)
}

impl Refusal {
    /// The status of the call that was not made.
    pub(super) fn status(&self) -> Status {
        match self {
            Self::Method => detailed_status(Code::InvalidArgument, "calls are POST requests"),
            Self::ContentType => {
                let text = "the content type must be application/json, or that of gRPC-Web";
                detailed_status(Code::InvalidArgument, text)
            }
            Self::NotOffered => unknown_method(),
            Self::ForeignPage(status) | Self::Call(status) => status.clone(),
        }
    }

    /// The answer to a request with this content type.
    pub(super) fn answer(&self, content_type: Option<HeaderValue>) -> Response<Body> {
        let is_web = content_type.as_ref().is_some_and(|value| value.as_bytes().starts_with(b"application/grpc-web"));
        if let (Self::ForeignPage(_) | Self::NotOffered, true, Some(content_type)) = (self, is_web, content_type) {
            let mut response = self.status().into_http();
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            return response;
        }
        let mut response = error_json::answer(&self.status());
        match self {
            Self::Method => {
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
            }
            Self::ContentType => {
                *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                let types = "application/json, application/grpc-web, application/grpc-web-text";
                response.headers_mut().insert("accept-post", HeaderValue::from_static(types));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Wire> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_TYPE, value.parse().unwrap());
        }
        wire(&headers)
    }

    #[test]
    fn json_and_grpc_web_are_taken() {
        for json in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
        ] {
            assert_eq!(of(&[json]), Some(Wire::Json), "{json}");
        }
        for kind in ["", "+proto", "-text", "-text+proto"] {
            assert_eq!(of(&[&format!("application/grpc-web{kind}")]), Some(Wire::GrpcWeb), "{kind}");
        }
    }

    #[test]
    fn what_a_page_can_send_to_another_origin_unasked_is_not_taken() {
        for other in [
            "",
            "text/plain",
            "text/plain; application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json; charset=latin1",
            "application/json, text/plain",
            "application/json; charset=utf-8; text/plain",
            "application/jsonp",
            "application/connect+json",
            "application/proto",
            "application/grpc",
            "application/grpc-web+json",
            "application/grpc-web; text/plain",
        ] {
            assert_eq!(of(&[other]), None, "{other}");
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["application/json", "text/plain"]), None);
    }
}
