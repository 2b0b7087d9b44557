//! Implements Envoy's external authorization over gRPC.

use chancery_verify::Refusal;
use tonic::{Code, Request, Response};

use crate::{
    decision::{Decider, Question},
    pb::envoy::{
        AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValue, HeaderValueOption, HttpStatus,
        OkHttpResponse, Status,
        attribute_context::HttpRequest,
        authorization_server::{Authorization, AuthorizationServer},
        check_response::HttpResponse,
        header_value_option::HeaderAppendAction,
    },
};

/// The entry of `context_extensions` that lets CORS preflights pass, and its value.
const PREFLIGHT: (&str, &str) = ("preflight", "pass");

/// The name of the service, for health checks.
pub(crate) const NAME: &str = "envoy.service.auth.v3.Authorization";

pub(crate) fn service(decider: Decider) -> AuthorizationServer<ExtAuthz> {
    AuthorizationServer::new(ExtAuthz(decider))
}

#[derive(Debug)]
pub(crate) struct ExtAuthz(Decider);

#[tonic::async_trait]
impl Authorization for ExtAuthz {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, tonic::Status> {
        let attributes = request.get_ref().attributes.as_ref();
        let http = attributes.and_then(|all| Some((question(all), http_request(all)?)));
        let (question, http) =
            http.ok_or_else(|| tonic::Status::invalid_argument("attributes.request.http is missing"))?;
        let response = match self.0.decide(question, &headers(http)).await {
            Ok(headers) => admitted_response(headers),
            Err(refusal) => refused_response(&refusal),
        };
        Ok(Response::new(response))
    }
}

fn http_request(attributes: &AttributeContext) -> Option<&HttpRequest> {
    attributes.request.as_ref()?.http.as_ref()
}

/// Envoy takes the method from the request itself, and `context_extensions` from its configuration alone.
fn question(attributes: &AttributeContext) -> Question {
    let passes = attributes.context_extensions.get(PREFLIGHT.0).is_some_and(|value| value == PREFLIGHT.1);
    let is_options = http_request(attributes).is_some_and(|http| http.method == "OPTIONS");
    if passes && is_options { Question::TokenUnlessPreflight } else { Question::Token }
}

/// Envoy joins several values of a header with a comma, which no bearer token contains. With
/// `encode_raw_headers` it sends them separately.
fn headers(http: &HttpRequest) -> Vec<(&str, &[u8])> {
    let joined = http.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let raw = http.header_map.iter().flat_map(|map| &map.headers).map(|header| {
        let value = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
        (header.key.as_str(), value)
    });
    joined.chain(raw).collect()
}

fn admitted_response(all: Vec<(&'static str, String)>) -> CheckResponse {
    let (set, empty): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, value)| !value.is_empty());
    let ok = OkHttpResponse {
        headers: set.into_iter().map(|(name, value)| header(name, value)).collect(),
        headers_to_remove: empty.into_iter().map(|(name, _)| name.to_owned()).collect(),
    };
    let status = Status { code: Code::Ok.into(), message: String::new() };
    CheckResponse { status: Some(status), http_response: Some(HttpResponse::OkResponse(ok)) }
}

fn refused_response(refusal: &Refusal) -> CheckResponse {
    let code = if refusal.status() == 403 { Code::PermissionDenied } else { Code::Unauthenticated };
    let challenge = refusal.www_authenticate().map(|value| header("www-authenticate", value));
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(refusal.status()) }),
        headers: challenge.into_iter().chain([header("cache-control", "no-store".to_owned())]).collect(),
    };
    let status = Status { code: code.into(), message: refusal.to_string() };
    CheckResponse { status: Some(status), http_response: Some(HttpResponse::DeniedResponse(denied)) }
}

fn header(name: &str, value: String) -> HeaderValueOption {
    let header = HeaderValue { key: name.to_owned(), value, raw_value: Vec::new() };
    // Overwrite whatever the caller sent.
    HeaderValueOption { header: Some(header), append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into() }
}
