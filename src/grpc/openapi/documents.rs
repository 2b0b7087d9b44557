//! The documents that anybody may read beside the methods.

use serde_json::{Map, Value, json};

use super::reference;

const TAG: &str = "Documents";

/// What stands for them among the services.
pub(super) fn tag() -> Value {
    json!({ "name": TAG, "description": "What verifiers and programs read. Any origin may." })
}

/// A document.
struct Document {
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    about: &'static str,
    content_type: &'static str,
    schema: Value,
    has_etag: bool,
}

fn documents() -> impl Iterator<Item = Document> {
    of_keys().into_iter().chain(of_status_lists()).chain([own()])
}

fn of_keys() -> [Document; 3] {
    let metadata = || reference("schemas", "Metadata");
    [
        Document {
            path: "/.well-known/jwks.json",
            id: "getJwksDocument",
            summary: "The public keys with which tokens are verified",
            about: "A JSON Web Key Set (RFC 7517): active, next and retired keys.",
            content_type: "application/jwk-set+json",
            schema: reference("schemas", "JsonWebKeySet"),
            has_etag: true,
        },
        Document {
            path: "/.well-known/oauth-authorization-server",
            id: "getAuthorizationServerMetadata",
            summary: "Where to find what (OAuth)",
            about: "Authorization server metadata (RFC 8414), as far as it is implemented.",
            content_type: "application/json",
            schema: metadata(),
            has_etag: false,
        },
        Document {
            path: "/.well-known/openid-configuration",
            id: "getOpenIdConfiguration",
            summary: "Where to find what (OpenID Connect)",
            about: "Provider metadata (OpenID Connect Discovery), as far as it is implemented.",
            content_type: "application/json",
            schema: metadata(),
            has_etag: false,
        },
    ]
}

fn of_status_lists() -> [Document; 2] {
    [
        Document {
            path: "/statuslists",
            id: "getStatusLists",
            summary: "The status lists",
            about: "The URIs of all status lists.",
            content_type: "application/json",
            schema: reference("schemas", "StatusLists"),
            has_etag: false,
        },
        Document {
            path: "/statuslists/{list}",
            id: "getStatusList",
            summary: "A status list",
            about: "A signed list of which sessions are revoked (draft-ietf-oauth-status-list).",
            content_type: "application/statuslist+jwt",
            schema: json!({ "type": "string" }),
            has_etag: true,
        },
    ]
}

fn own() -> Document {
    Document {
        path: "/openapi.json",
        id: "getOpenApi",
        summary: "This document",
        about: "The description of what can be called here.",
        content_type: "application/json",
        schema: json!({ "type": "object", "additionalProperties": true }),
        has_etag: true,
    }
}

/// Their paths.
pub(super) fn paths() -> Map<String, Value> {
    documents().map(|document| (document.path.to_owned(), path(document))).collect()
}

fn path(document: Document) -> Value {
    let Document { path, id, summary, about, content_type, schema, has_etag } = document;
    let mut answer = json!({ "description": summary, "content": { content_type: { "schema": schema } } });
    let mut responses = json!({
        // The only error of the caller's that there is everywhere: the listener has a limit.
        "431": { "description": "The headers of the request are too large." },
    });
    let mut parameters = Vec::new();
    if has_etag {
        parameters.push(reference("parameters", "IfNoneMatch"));
        insert(&mut answer, "headers", json!({ "etag": reference("headers", "ETag") }));
        insert(&mut responses, "304", json!({ "description": "The caller has it already." }));
    }
    if path.starts_with("/statuslists") {
        let headers = json!({ "retry-after": reference("headers", "RetryAfter") });
        insert(&mut responses, "503", json!({ "description": "Try again later.", "headers": headers }));
    }
    if path.contains("{list}") {
        let about = "The number of the list, as in the `status` of a token.";
        let schema = json!({ "type": "integer", "minimum": 0 });
        parameters
            .push(json!({ "name": "list", "in": "path", "required": true, "description": about, "schema": schema }));
        insert(&mut responses, "404", json!({ "description": "There is no such list." }));
    }
    insert(&mut responses, "200", answer);
    json!({ "get": {
        "operationId": id,
        "tags": [TAG],
        "summary": summary,
        "description": about,
        "parameters": parameters,
        "security": [],
        "responses": responses,
    }})
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// Their schemas.
pub(super) fn components() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let key = json!({
        "type": "object",
        "required": ["kty", "kid", "alg", "use"],
        "properties": { "kty": text(), "kid": text(), "alg": text(), "use": text() },
        "additionalProperties": true,
    });
    let keys = json!({
        "type": "object",
        "required": ["keys"],
        "properties": { "keys": { "type": "array", "items": key } },
    });
    let metadata = json!({
        "type": "object",
        "required": ["issuer", "jwks_uri"],
        "properties": { "issuer": text(), "jwks_uri": text() },
        "additionalProperties": true,
    });
    let lists = json!({
        "type": "object",
        "required": ["status_lists"],
        "properties": { "status_lists": { "type": "array", "items": text() } },
    });
    let all = [("JsonWebKeySet", keys), ("Metadata", metadata), ("StatusLists", lists)];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
