//! A user's story, run by a Python client that discovers a real server's API through reflection.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::{mail_server::MailServer, server::Server};

#[tokio::test]
async fn a_python_client_goes_through_an_account_from_registration_to_the_audit_log() {
    let dir = tempfile::tempdir().unwrap();
    // The story runs its own mail server, which starts after the server; until then, mails wait.
    let port = MailServer::free_port().await;
    let smtp = format!("smtp+plain://127.0.0.1:{port}");
    let flags = ["--mail-smtp", &smtp, "--mail-from", "Shop <no-reply@shop.example>"];
    let server = Server::start(&dir.path().join("data"), &flags);
    let template = "https://shop.example/{kind}?token={token}";
    let shop = [
        "client",
        "create",
        "shop",
        "--public",
        "--first-party",
        "--registration",
        "--link-template",
        template,
        "--audience",
        "shop-api",
        "--audience",
        &server.issuer,
    ];
    server.command(&shop, "");
    let desk = ["client", "create", "desk", "--audience", &server.issuer, "--role", "administrator", "--json"];
    let made: serde_json::Value = serde_json::from_str(&server.command(&desk, "")).unwrap();
    let python = std::env::var("CHTEST_PYTHON").expect("CHTEST_PYTHON is not set: run scripts/test");
    let mut story = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/story.py"))
        .args([&server.grpc, &format!("http://{}", server.http), &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    story.stdin.take().unwrap().write_all(made["client_secret"].as_str().unwrap().as_bytes()).unwrap();
    let out = story.wait_with_output().unwrap();
    let (told, failed) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{told}{failed}{}", std::fs::read_to_string(&server.log).unwrap());
    assert_eq!(told.lines().count(), 5, "{told}");
}
