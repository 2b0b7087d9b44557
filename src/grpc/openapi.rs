//! The `OpenAPI` 3.1 document of the methods that can be called by JSON over HTTP, written from the descriptors with their
//! comments, and of the documents that stand beside them. A pure function: the web edge serves its result.

mod comments;
mod documents;
mod errors;
mod methods;
mod schemas;
#[cfg(test)]
mod tests;

use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use self::{comments::Comments, errors::Errors, methods::Methods, schemas::Schemas};
use super::proto::DESCRIPTORS;

/// What is said about all calls.
const ABOUT: &str = "\
Signs users and services in, and issues JWTs that any service verifies offline.

Every call is a `POST` with a JSON object in its body, by the unary protocol of [Connect](https://connectrpc.com/docs/protocol): \
`content-type: application/json`, and no more. Answers have every field but messages that are not set, also where it is `false`, `0` or empty. Names in requests \
can be written as here (`clientId`) or as in the comments (`client_id`); a name that is not known is refused. Cookies are \
never looked at.

An error has an HTTP status, and a body whose `details` contain a `google.rpc.ErrorInfo`. Programs go by its `reason`.";

/// Writes the document. `offers` says which methods can be called, by the path of a gRPC call.
#[must_use]
pub fn openapi(issuer: &str, offers: impl Fn(&str) -> bool) -> Value {
    // Cannot fail: the descriptors are compiled in, and a test decodes them.
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap_or_default();
    let comments = Comments::of(&pool);
    let errors = Errors::of(&pool, &comments);
    let mut schemas = Schemas::new(&pool, &comments);
    let Methods { mut paths, tags } = Methods::of(&pool, &comments, &errors, &mut schemas, offers);
    paths.extend(documents::paths());
    errors::add_details(&pool, &mut schemas);
    let mut schemas = schemas.into_components();
    schemas.extend(errors.components());
    schemas.extend(documents::components());
    json!({
        "openapi": "3.1.1",
        "info": info(),
        "servers": [{ "url": issuer.trim_end_matches('/'), "description": "The issuer" }],
        "tags": tags.into_iter().chain([documents::tag()]).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": headers(),
            "parameters": parameters(),
            "securitySchemes": security_schemes(),
        },
    })
}

fn info() -> Value {
    json!({
        "title": "Chancery",
        "version": env!("CARGO_PKG_VERSION"),
        "description": ABOUT,
        "license": { "name": "MIT OR Apache-2.0", "identifier": env!("CARGO_PKG_LICENSE") },
    })
}

/// The schema behind a name.
fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// Headers of answers.
fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "Identifies the call in the server's log.",
            "schema": { "type": "string" },
        },
        "RetryAfter": {
            "description": "How long to wait before the next attempt, in seconds. Only where waiting helps.",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "WwwAuthenticate": {
            "description": "How to authenticate (RFC 9110 §11.6.1).",
            "schema": { "type": "string" },
        },
        "ETag": {
            "description": "Changes whenever the document does.",
            "schema": { "type": "string" },
        },
    })
}

/// Headers of calls.
fn parameters() -> Value {
    json!({
        "ConnectProtocolVersion": {
            "name": "Connect-Protocol-Version",
            "in": "header",
            "description": "The version of the protocol. It can be left out.",
            "schema": { "type": "string", "enum": ["1"] },
        },
        "ConnectTimeoutMs": {
            "name": "Connect-Timeout-Ms",
            "in": "header",
            "description": "How long the caller waits, in milliseconds. Afterwards the call fails with `DEADLINE_EXCEEDED`.",
            "schema": { "type": "integer", "minimum": 0, "maximum": 9_999_999_999_i64 },
        },
        "IfNoneMatch": {
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` of the document that the caller has.",
            "schema": { "type": "string" },
        },
    })
}

fn security_schemes() -> Map<String, Value> {
    let schemes = [
        (
            "bearer",
            json!({
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "An access token whose audience is the issuer.",
            }),
        ),
        (
            "basic",
            json!({
                "type": "http",
                "scheme": "basic",
                "description": "A confidential client: its id, and its secret. Public clients have none, and name \
                                themselves as `clientId` in the body instead.",
            }),
        ),
    ];
    schemes.into_iter().map(|(name, scheme)| (name.to_owned(), scheme)).collect()
}
