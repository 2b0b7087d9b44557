//! Requests to the HTTP listener's routes, and what comes back.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chancery::{
    grpc::HttpRpcService,
    metrics::Metrics,
    service::{HttpRpc, Service},
    web::{self, BrowserOptions},
};
use chancery_guard::listener::Peer;
use serde_json::Value;
use tonic::{Code, Status};
use tower::ServiceExt;

/// The routes of a service that offers these methods.
pub(crate) fn routes(service: &Service, offered: HttpRpc) -> Router {
    routes_behind(service, offered, BrowserOptions::default())
}

pub(crate) fn routes_behind(service: &Service, offered: HttpRpc, options: BrowserOptions) -> Router {
    let calls = HttpRpcService::new(service.clone(), Arc::new(Metrics::default()), offered);
    web::routes_with_calls(service.clone(), options, Some(calls))
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {:?}", self.bytes))
    }

    /// The reason of an error as JSON.
    pub(crate) fn reason(&self) -> String {
        let json = self.json();
        let details = json["details"].as_array().unwrap_or_else(|| panic!("no details in {json}"));
        let info = details.iter().find(|detail| detail["type"] == "google.rpc.ErrorInfo").unwrap();
        info["debug"]["reason"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) async fn send(routes: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = routes.clone().oneshot(request).await.unwrap().into_parts();
    Answer { status: parts.status, headers: parts.headers, bytes: to_bytes(body, usize::MAX).await.unwrap() }
}

/// A request from a loopback address.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let peer: SocketAddr = "127.0.0.1:1234".parse().unwrap();
    request.extension(Peer(peer)).body(body.into()).unwrap()
}

/// Calls a method with JSON.
pub(crate) async fn call(routes: &Router, method: &str, headers: &[(&str, &str)], message: &Value) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    let path = format!("/chancery.v1.{method}");
    send(routes, request("POST", &path, &headers, message.to_string())).await
}

/// Calls a method with gRPC-Web, as text or not.
pub(crate) async fn call_web(
    routes: &Router,
    path: &str,
    headers: &[(&str, &str)],
    message: &[u8],
    text: bool,
) -> Result<Vec<u8>, Status> {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(message);
    let kind = if text { "application/grpc-web-text" } else { "application/grpc-web+proto" };
    let headers = [&[("content-type", kind), ("accept", kind), ("x-grpc-web", "1")], headers].concat();
    let body = if text { STANDARD.encode(&framed).into_bytes() } else { framed };
    let answer = send(routes, request("POST", path, &headers, body)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("content-type").starts_with(kind), "{:?}", answer.headers);
    if let Some(status) = Status::from_header_map(&answer.headers) {
        return Err(status);
    }
    let bytes = if text { decoded(&answer.bytes) } else { answer.bytes.to_vec() };
    messages(&bytes)
}

/// Texts one after the other, each of which may end with padding: no group of four characters depends on others.
fn decoded(text: &[u8]) -> Vec<u8> {
    text.chunks(4).flat_map(|group| STANDARD.decode(group).unwrap()).collect()
}

/// The message of an answer, or the error in the trailers behind it.
fn messages(mut rest: &[u8]) -> Result<Vec<u8>, Status> {
    let mut message = Vec::new();
    while let Some((prefix, after)) = rest.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        let (frame, after) = after.split_at(usize::try_from(length).unwrap());
        rest = after;
        if prefix[0] & 0x80 == 0 {
            message = frame.to_vec();
            continue;
        }
        let status = trailers(frame);
        if status.code() != Code::Ok {
            return Err(status);
        }
    }
    Ok(message)
}

fn trailers(frame: &[u8]) -> Status {
    let mut headers = HeaderMap::new();
    for line in std::str::from_utf8(frame).unwrap().lines() {
        let (name, value) = line.split_once(':').unwrap();
        headers.insert(http::HeaderName::try_from(name).unwrap(), value.trim().parse().unwrap());
    }
    Status::from_header_map(&headers).unwrap()
}
