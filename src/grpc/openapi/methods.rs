//! The methods: a path for each.

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};
use serde_json::{Map, Value, json};

use super::{
    comments::{Comments, summary},
    errors::Errors,
    reference,
    schemas::Schemas,
};
use crate::{
    error::Reason,
    grpc::documented::documented_reasons,
    service::{ACCESS, Access, method as row},
};

/// What is written about the methods.
pub(super) struct Methods {
    /// By the path of the call.
    pub(super) paths: Map<String, Value>,
    /// The services that have one.
    pub(super) tags: Vec<Value>,
}

impl Methods {
    /// Writes about every offered method that has one request and one answer.
    pub(super) fn of(
        pool: &DescriptorPool,
        comments: &Comments,
        errors: &Errors,
        schemas: &mut Schemas<'_>,
        offers: impl Fn(&str) -> bool,
    ) -> Self {
        let (mut paths, mut tags) = (Map::new(), Vec::new());
        let mut services: Vec<_> = pool.services().collect();
        // As in the access table: first what applications need.
        services.sort_by_key(|service| {
            let start = format!("/{}/", service.full_name());
            ACCESS.iter().position(|(path, _)| path.starts_with(&start))
        });
        for service in services {
            let before = paths.len();
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let unary = !method.is_client_streaming() && !method.is_server_streaming();
                if unary && offers(&path) {
                    let about = comments.get(&method.parent_file(), method.path());
                    paths.insert(path.clone(), operation(&path, &method, about, errors, schemas));
                }
            }
            if paths.len() > before {
                tags.push(tag(&service, comments));
            }
        }
        Self { paths, tags }
    }
}

fn tag(service: &ServiceDescriptor, comments: &Comments) -> Value {
    let about = comments.get(&service.parent_file(), service.path());
    json!({ "name": service.name(), "description": about })
}

fn operation(path: &str, method: &MethodDescriptor, about: &str, errors: &Errors, schemas: &mut Schemas<'_>) -> Value {
    let service = method.parent_service().name().to_owned();
    let nothing = BTreeSet::new();
    let documented = documented_reasons().get(path).unwrap_or(&nothing);
    let mut responses = errors.responses(documented);
    let answer = json!({
        "description": "The call was done.",
        "headers": { "x-request-id": reference("headers", "RequestId") },
        "content": { "application/json": { "schema": schemas.message(&method.output()) } },
    });
    responses.insert("200".to_owned(), answer);
    json!({ "post": {
        "operationId": format!("{service}_{}", method.name()),
        "tags": [service],
        "summary": summary(about, method.name()),
        "description": about,
        "parameters": [
            reference("parameters", "ConnectProtocolVersion"),
            reference("parameters", "ConnectTimeoutMs"),
        ],
        "security": security(path, documented),
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": schemas.message(&method.input()) } },
        },
        "responses": responses,
    }})
}

/// The ways in which a caller can authenticate, each of which is enough. `{}` is none: a public client names itself in
/// the body.
fn security(path: &str, documented: &BTreeSet<&'static str>) -> Value {
    let (bearer, basic, none) = (json!({ "bearer": [] }), json!({ "basic": [] }), json!({}));
    match row(path).map(|(_, access)| access) {
        Some(Access::Anyone) | None => json!([]),
        // A client that acts for a user who is signed in can prove that by a token.
        Some(Access::Client) if documented.contains(Reason::TokenInvalid.as_str()) => json!([none, basic, bearer]),
        Some(Access::Client) => json!([none, basic]),
        Some(Access::ConfidentialClient) => json!([basic]),
        Some(Access::ClientOrUser) => json!([bearer, basic, none]),
        Some(Access::User) => json!([bearer]),
        Some(Access::SessionOrClient | Access::Permission(..)) => json!([bearer, basic]),
    }
}
