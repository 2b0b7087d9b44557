//! The `OpenAPI` document: what it says of the methods, and how it is served.

use std::{collections::BTreeSet, fmt::Write};

use axum::http::StatusCode;
use chancery::{
    grpc::{COMMON_REASONS, DATABASE_REASONS, DESCRIPTORS, documented_reasons, openapi},
    service::{ACCESS, Access, HttpRpc},
    web::{self, ApiDocument, BrowserOptions},
};
use prost::Message;
use serde_json::{Value, json};

use crate::{
    support::{App, Empty, ISSUER, Opened, PASSWORD},
    web::get,
};

fn document(offered: HttpRpc) -> Value {
    openapi(ISSUER, |path| offered.offers(path))
}

/// The paths of all methods with one request and one answer, as in the access table.
fn unary() -> BTreeSet<String> {
    let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut all = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in service.method.iter().filter(|m| !m.client_streaming() && !m.server_streaming()) {
                all.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    all
}

/// The operations of a document, by their paths.
fn operations(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    document["paths"].as_object().unwrap().iter().map(|(path, item)| (path, item.get("post").unwrap_or(&item["get"])))
}

fn methods(document: &Value) -> BTreeSet<String> {
    let calls = document["paths"].as_object().unwrap().iter().filter(|(_, item)| item.get("post").is_some());
    calls.map(|(path, _)| path.clone()).collect()
}

/// Everything in a document with the path that leads there.
fn walk<'a>(value: &'a Value, path: &str, visit: &mut impl FnMut(&str, &'a Value)) {
    visit(path, value);
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| walk(value, &format!("{path}/{name}"), visit));
        }
        Value::Array(items) => items.iter().for_each(|value| walk(value, path, visit)),
        _ => {}
    }
}

/// The reasons of a response.
fn reasons(response: &Value) -> Vec<&str> {
    let info = &response["content"]["application/json"]["schema"]["properties"]["details"]["items"]["oneOf"][0];
    let reasons = info["properties"]["debug"]["properties"]["reason"]["enum"].as_array();
    reasons.into_iter().flatten().map(|reason| reason.as_str().unwrap()).collect()
}

/// A few lines for each path.
fn outline(document: &Value) -> String {
    let mut out = String::new();
    for (path, operation) in operations(document) {
        writeln!(out, "{path}\n  {}", operation["summary"].as_str().unwrap()).unwrap();
        writeln!(out, "  by {}", operation["security"]).unwrap();
        for (status, response) in operation["responses"].as_object().unwrap() {
            writeln!(out, "  {status} {}", reasons(response).join(" ")).unwrap();
        }
    }
    out
}

#[test]
fn the_document_is_unchanged() {
    let document = document(HttpRpc::All);
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("openapi outline", outline(&document));
    });
    let schemas = &document["components"]["schemas"];
    let mut example = json!({ "path": document["paths"]["/chancery.v1.AuthService/Login"] });
    for name in ["LoginRequest", "LoginResponse", "LoginChallenge", "LoginChallenge_Kind", "OtherErrorDetail"] {
        example[name] = schemas[name].clone();
    }
    let mut rest = document.clone();
    rest["paths"] = json!("as in the outline");
    rest["components"]["schemas"] = json!("of all messages");
    example["around"] = rest;
    let text = serde_json::to_string_pretty(&example).unwrap();
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("openapi example", text.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    });
}

#[test]
fn exactly_the_offered_methods_with_one_request_and_one_answer_are_in_the_document() {
    let unary = unary();
    assert!(unary.len() > 40, "{unary:?}");
    for offered in HttpRpc::ALL {
        let expected = unary.iter().filter(|path| offered.offers(path)).cloned().collect();
        assert_eq!(methods(&document(offered)), expected, "{offered}");
    }
    let account = document(HttpRpc::Account);
    assert!(account["components"]["schemas"].get("CreateUserRequest").is_none(), "of no method that is offered");
}

#[test]
fn every_documented_reason_is_at_its_method_and_no_other() {
    let document = document(HttpRpc::All);
    for (path, operation) in operations(&document).filter(|(path, _)| path.starts_with("/chancery.")) {
        let mut found = BTreeSet::new();
        for (status, response) in operation["responses"].as_object().unwrap() {
            for reason in reasons(response) {
                assert!(response["description"].as_str().unwrap().contains(&format!("`{reason}`: ")), "{path}");
                found.insert(reason);
                assert!(status.starts_with(['4', '5']), "{path}: {reason} is {status}");
            }
        }
        let documented = &documented_reasons()[path];
        let mut expected: BTreeSet<&str> = documented.iter().copied().collect();
        expected.extend(COMMON_REASONS.iter().map(|reason| reason.as_str()).filter(|name| *name != "METHOD_UNKNOWN"));
        if !documented.is_empty() {
            expected.extend(DATABASE_REASONS.iter().map(|reason| reason.as_str()));
        }
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn who_may_call_is_as_in_the_access_table() {
    let document = document(HttpRpc::All);
    let (bearer, basic, none) = (json!({ "bearer": [] }), json!({ "basic": [] }), json!({}));
    for (path, access) in ACCESS {
        let Some(operation) = document["paths"].get(path) else { continue };
        let said = operation["post"]["security"].as_array().unwrap();
        let takes = [&bearer, &basic, &none].map(|way| said.contains(way));
        let expected = match access {
            Access::Anyone => [false; 3],
            Access::Client if documented_reasons()[*path].contains("TOKEN_INVALID") => [true; 3],
            Access::Client => [false, true, true],
            Access::ConfidentialClient => [false, true, false],
            Access::ClientOrUser => [true; 3],
            Access::User => [true, false, false],
            Access::SessionOrClient | Access::Permission(..) => [true, true, false],
        };
        assert_eq!(takes, expected, "{path}");
    }
}

#[test]
fn fields_are_as_in_the_json_mapping() {
    let document = document(HttpRpc::All);
    let schemas = &document["components"]["schemas"];
    let login = &schemas["LoginRequest"];
    assert_eq!(login["required"], json!(["login", "password"]));
    assert_eq!(login["properties"]["clientId"]["type"], "string");
    assert!(login["properties"].get("client_id").is_none());
    assert_eq!(login["properties"]["scopes"]["items"], json!({ "type": "string" }));
    let pair = &schemas["TokenPair"]["properties"];
    assert_eq!(pair["accessTokenExpireTime"]["format"], "date-time");
    assert_eq!(pair["accessTokenExpireTime"]["readOnly"], true);
    let answer = &schemas["LoginResponse"];
    // Generators drop the properties beside a `oneOf`.
    assert!(answer.get("oneOf").is_none());
    assert!(answer["description"].as_str().unwrap().ends_with("At most one of `tokens` and `challenge` is set."));
    // An answer has every field but messages that are not set; what stands in requests can be left out.
    assert_eq!(answer["required"], json!(["deviceToken"]));
    let pair = schemas["TokenPair"]["required"].as_array().unwrap();
    assert!(pair.contains(&json!("accessToken")) && !pair.contains(&json!("accessTokenExpireTime")), "{pair:?}");
    assert!(schemas["User"].get("required").is_none());
    let kind = &schemas["LoginChallenge_Kind"];
    assert!(kind["enum"].as_array().unwrap().contains(&json!("KIND_MFA")));
    assert!(kind["description"].as_str().unwrap().contains("- `KIND_MFA`: A second factor"));
    assert_eq!(schemas["GetJwksResponse"]["properties"]["maxAge"]["pattern"], r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$");
    // A proto3 `optional` is no choice.
    assert!(schemas["VerifyEmailRequest"].get("oneOf").is_none());
}

#[test]
fn every_reference_leads_somewhere_and_everything_is_described() {
    let document = document(HttpRpc::All);
    let mut references = BTreeSet::new();
    walk(&document, "", &mut |_, value| {
        if let Some(target) = value.get("$ref").and_then(Value::as_str) {
            references.insert(target.to_owned());
        }
    });
    for target in &references {
        assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target}");
    }
    let used = |path: &str| references.contains(&format!("#{path}"));
    for kind in ["schemas", "headers", "parameters"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(used(&format!("/components/{kind}/{name}")), "nothing uses {name}");
        }
    }
    let mut ids = BTreeSet::new();
    for (path, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{path}");
        let text = |name: &str| operation[name].as_str().unwrap_or_default();
        assert!(!text("summary").is_empty() && !text("description").is_empty(), "{path}");
        assert!(!text("summary").ends_with('.') && text("summary").chars().next().unwrap().is_uppercase(), "{path}");
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let ours = !["JsonWebKeySet", "Metadata", "StatusLists"].contains(&name.as_str());
            assert!(!ours || property["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}.{field}");
        }
    }
}

#[test]
fn s02_the_document_has_no_secrets_and_a_bounded_size() {
    let all = document(HttpRpc::All).to_string();
    for secret in [PASSWORD, "demo-service-secret", "eyJ", "chr_", "chb_", "BEGIN "] {
        assert!(!all.contains(secret), "{secret}");
    }
    assert!(all.len() < 1024 * 1024, "{} bytes", all.len());
}

#[tokio::test]
async fn the_document_is_public_and_kept_by_caches() {
    let app = App::sqlite().await;
    let api = ApiDocument::new(|| document(HttpRpc::Account));
    let options = BrowserOptions { api: Some(api), ..BrowserOptions::default() };
    let routes = web::routes_with(app.service.clone(), options);
    let answer = get(&routes, "/openapi.json", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert_eq!(answer.headers["cache-control"], "public, max-age=300");
    assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap(), document(HttpRpc::Account));
    let etag = answer.headers["etag"].to_str().unwrap();
    let again = get(&routes, "/openapi.json", &[("if-none-match", etag)]).await;
    assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let without = get(&web::routes(app.service.clone()), "/openapi.json", &[]).await;
    assert_eq!(without.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_document_is_found_below_the_issuers_path_too() {
    const BELOW: &str = "https://example.com/idp";
    let empty = Empty::sqlite().await;
    let service = App::open(&empty, Opened { issuer: Some(BELOW), ..Opened::default() }).await.unwrap();
    let api = ApiDocument::new(|| openapi(BELOW, |path| HttpRpc::Account.offers(path)));
    let routes = web::routes_with(service, BrowserOptions { api: Some(api), ..BrowserOptions::default() });
    for path in ["/openapi.json", "/idp/openapi.json"] {
        let answer = get(&routes, path, &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let said: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(said["servers"][0]["url"], BELOW);
    }
}

#[test]
fn documents_beside_the_methods_are_served_where_it_says() {
    let document = document(HttpRpc::Off);
    assert_eq!(methods(&document).len(), 0);
    let paths: Vec<_> = operations(&document).map(|(path, _)| path.as_str()).collect();
    assert!(paths.contains(&"/.well-known/jwks.json") && paths.contains(&"/openapi.json"), "{paths:?}");
}
