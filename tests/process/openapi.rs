//! The `OpenAPI` document of a real server, judged by a linter and by a generator, and by a program that the latter's types
//! compile.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{dev_app::exchange, server::Server};

const PASSWORD: &str = "correct horse battery staple";

fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}

async fn get(server: &Server, path: &str) -> String {
    let stream = tokio::net::TcpStream::connect(&server.http).await.unwrap();
    let answer = exchange(stream, &server.http, ("GET", path), &[], "").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// Runs a program of Node in the folder where the test's packages are.
fn node(args: &[&Path], more: &[&str]) -> String {
    let out = Command::new(var("CHTEST_NODE")).args(args).args(more).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test]
async fn redocly_finds_nothing_wrong_and_a_program_by_generated_types_signs_in() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &["--dev"]);
    let document = dir.path().join("openapi.json");
    fs::write(&document, get(&server, "/openapi.json").await).unwrap();
    let verify = var("CHTEST_NODE_VERIFY");
    let judge = Path::new(&verify).with_file_name("openapi.mjs");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/openapi_program.ts");
    let place = dir.path().join("types");
    fs::create_dir(&place).unwrap();
    let said: Value = serde_json::from_str(&node(&[&judge, &document, &program, &place], &[])).unwrap();
    assert_eq!(said, json!({ "lint": [], "compiler": "" }));
    let ran = node(&[&place.join("program.js")], &[&server.issuer, PASSWORD]);
    let ran: Value = serde_json::from_str(&ran).unwrap();
    assert_eq!(ran, json!({ "name": "ada", "reason": "INVALID_CREDENTIALS" }));
}

/// The calls after which the demo's user has no session.
const ENDING: [&str; 8] = [
    "Logout",
    "Revoke",
    "RevokeMySession",
    "RevokeUserSessions",
    "RequestUserPasswordReset",
    "DisableUser",
    "DeleteUser",
    "DeleteMe",
];
const MALFORMED: [&str; 2] = ["REQUEST_MALFORMED", "METHOD_UNKNOWN"];
const NOT_ADMITTED: [&str; 3] = ["TOKEN_INVALID", "CLIENT_AUTHENTICATION_FAILED", "PERMISSION_DENIED"];

/// The lines of the page that are to be pasted.
fn lines(page: &str) -> Vec<String> {
    let codes = page.split("<pre tabindex=\"0\"><code>").skip(1).map(|rest| rest.split("</code>").next().unwrap());
    let unescaped = codes.map(|line| {
        let entities = [("&#39;", "'"), ("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
        entities.iter().fold(line.to_owned(), |line, (entity, c)| line.replace(entity, c))
    });
    unescaped.collect()
}

#[tokio::test]
async fn the_lines_of_the_page_of_calls_work_when_they_are_pasted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &["--dev"]);
    server.command(&["role", "assign", "administrator", "ada"], "");
    let page = get(&server, "/dev/api").await;
    let lines = lines(&page);
    let (token, calls) = lines.split_first().unwrap();
    let documents: Value = serde_json::from_str(&get(&server, "/openapi.json").await).unwrap();
    assert_eq!(calls.len(), documents["paths"].as_object().unwrap().len());
    // What ends the session of the token, or its user, comes last.
    let (ending, others): (Vec<_>, Vec<_>) =
        calls.iter().partition(|line| ENDING.iter().any(|name| line.contains(&format!("/{name} "))));
    assert_eq!(ending.len(), ENDING.len());
    let sh = |script: &str, token: &str| {
        let out = Command::new("sh").args(["-c", script]).env("TOKEN", token).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let token = sh(&format!("{token}\nprintf %s \"$TOKEN\""), "");
    assert_eq!(token.split('.').count(), 3, "{token}");
    let mut problems = Vec::new();
    for (n, line) in others.iter().chain(&ending).enumerate() {
        let text = sh(line, &token);
        if line.contains("/statuslists/") {
            continue;
        }
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{line}: {text}"));
        let gives = |reason: &&&str| answer["details"].to_string().contains(&format!("\"{reason}\""));
        // What the call is about may not exist, but the call is well formed, and its caller is admitted.
        let refused = if n <= others.len() { NOT_ADMITTED.as_slice() } else { &[] };
        let wrong = MALFORMED.iter().chain(refused).find(gives);
        problems.extend(wrong.map(|_| format!("{line}: {text}")));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
