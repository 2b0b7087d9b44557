//! Calls over HTTP by clients that others have written, unmodified, against a real server.
//!
//! `scripts/foreign` installs the clients, and makes their code from `proto/`.

mod behind;
mod streams;
mod wire;

use std::{path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{calls::PASSWORD, server::Server, watching::watcher};

/// Starts a server that offers everything, with users to sign in and a client that may watch.
fn start(dir: &Path) -> (Server, Value) {
    let server = Server::start(dir, &["--http-rpc", "all"]);
    for user in ["grace", "waits", "waits-too"] {
        server.command(&["user", "create", user, "--password-stdin"], PASSWORD);
    }
    let flags = ["--public", "--first-party", "--audience", "api", "--audience", &server.issuer, "--alg", "ES256"];
    server.command(&[&["client", "create", "app"], &flags[..]].concat(), "");
    let basic = STANDARD.encode(format!("watcher:{}", watcher(&server)));
    let person = json!({
        "issuer": format!("http://{}", server.http), "audience": server.issuer, "clientId": "app", "login": "grace",
        "password": PASSWORD, "watcher": format!("Basic {basic}"),
    });
    (server, person)
}

fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}

/// Runs one of the programs that `scripts/foreign` installs.
fn calls(file: &str, person: &Value) -> Value {
    let verify = var("CHTEST_NODE_VERIFY");
    let program = Path::new(&verify).ancestors().nth(2).unwrap().join("calls").join(file);
    says(Command::new(var("CHTEST_NODE")).arg(program), person)
}

/// What a client of either protocol learns.
fn learned() -> Value {
    json!({
        "result": "tokens", "requestId": "req_", "refreshed": true, "lives": true, "current": [true], "keys": true,
        "wrongPassword": "Unauthenticated chancery INVALID_CREDENTIALS",
        "wrongClient": "Unauthenticated chancery CLIENT_AUTHENTICATION_FAILED",
        "noToken": "Unauthenticated chancery TOKEN_INVALID",
        "badToken": "Unauthenticated chancery TOKEN_INVALID",
        "noField": "InvalidArgument chancery INVALID_ARGUMENT",
        "tooLarge": "OutOfRange chancery REQUEST_TOO_LARGE",
        "signedOut": "Unauthenticated chancery SESSION_REVOKED",
        "late": "DeadlineExceeded chancery DEADLINE_EXCEEDED",
        "inTime": "it succeeded",
    })
}

/// The same by gRPC-Web, with streams.
fn streamed() -> Value {
    let streams = json!({
        "keys": true, "seen": ["heartbeat", "revocation", "snapshot"],
        "unauthorized": "Unauthenticated chancery TOKEN_INVALID",
    });
    let mut all = learned();
    all["streams"] = streams;
    all
}

#[test]
fn clients_of_connect_for_node_call_by_json_and_by_grpc_web() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, person) = start(&dir.path().join("data"));
    let came = calls("node.mjs", &person);
    for version in ["1.1", "2"] {
        assert_eq!(came[format!("JSON, HTTP/{version}")], learned());
        assert_eq!(came[format!("gRPC-Web, HTTP/{version}")], streamed());
    }
    // Connect's own streams are not spoken. Its clients say only that the server does not take them.
    assert_eq!(came["streamByJson"], "Unknown undefined undefined");
    assert_eq!(came["binary"], "the content type must be application/json, or that of gRPC-Web");
    for waited in ["waiting", "waitingByWeb"] {
        assert_eq!(came[waited]["told"], "ResourceExhausted chancery TOO_MANY_ATTEMPTS", "{came}");
        assert_eq!(came[waited]["waits"], true);
    }
    assert!(came["waiting"]["header"].as_str().unwrap().parse::<u64>().unwrap() >= 1);
}

/// Runs a program with the person as its last argument, and returns what it prints.
fn says(command: &mut Command, person: &Value) -> Value {
    let out = command.arg(person.to_string()).output().unwrap();
    let says = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{says}");
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{says}"))
}

#[test]
fn programs_without_a_library_sign_in_and_learn_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, person) = start(&dir.path().join("data"));
    let program = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(name);
    let python = says(Command::new(var("CHTEST_PYTHON")).arg(program("call.py")), &person);
    assert_eq!(python, json!({"type": "Bearer", "refused": [401, "INVALID_CREDENTIALS"], "sessions": 1}));
    let shell = says(Command::new("sh").arg(program("call.sh")), &person);
    assert_eq!(shell["code"], "unauthenticated");
    assert_eq!(shell["details"][0]["debug"]["reason"], "INVALID_CREDENTIALS");
}
