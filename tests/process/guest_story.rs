//! The story of a guest who becomes a user with two factors, run by a Python client that discovers a real server's API
//! through reflection.

use std::process::Command;

use crate::{mail_server::MailServer, server::Server};

#[tokio::test]
async fn a_python_client_goes_from_a_guests_cart_to_a_sign_in_with_two_factors() {
    let dir = tempfile::tempdir().unwrap();
    // The story runs its own mail server, which starts after the server; until then, mails wait.
    let port = MailServer::free_port().await;
    let smtp = format!("smtp+plain://127.0.0.1:{port}");
    let flags = ["--mail-smtp", &smtp, "--mail-from", "Shop <no-reply@shop.example>"];
    let server = Server::start(&dir.path().join("data"), &flags);
    let grants = ["--grant", "direct_login", "--grant", "refresh_token", "--grant", "guest"];
    let audiences = ["--audience", "shop-api", "--audience", &server.issuer];
    let shop = ["client", "create", "shop", "--public", "--first-party", "--registration"];
    let link = ["--link-template", "https://shop.example/{kind}?token={token}"];
    server.command(&[&shop[..], &grants, &audiences, &link].concat(), "");
    let python = std::env::var("CHTEST_PYTHON").expect("CHTEST_PYTHON is not set: run scripts/test");
    let out = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/guest_story.py"))
        .args([&server.grpc, &format!("http://{}", server.http), &port.to_string()])
        .output()
        .unwrap();
    let (told, failed) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{told}{failed}{}", std::fs::read_to_string(&server.log).unwrap());
    assert_eq!(told.lines().count(), 6, "{told}");
}
