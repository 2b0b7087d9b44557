//! Independent JWT libraries check tokens of a real server with its published keys.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use chancery::grpc::pb::{LoginRequest, auth_service_client::AuthServiceClient, login_response};

use crate::server::Server;

const PASSWORD: &str = "a long pass phrase for tests";

/// Checks a token with both libraries and returns whether each accepted it.
fn verdicts(server: &Server, token: &str, audience: &str) -> [bool; 2] {
    let var = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"));
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/verify.py").to_owned();
    let programs = [(var("CHTEST_PYTHON"), python), (var("CHTEST_NODE"), var("CHTEST_NODE_VERIFY"))];
    programs.map(|(program, script)| {
        let url = format!("http://{}/.well-known/jwks.json", server.http);
        let mut child = Command::new(program)
            .args([&script, &url, &server.issuer, audience])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let answer = String::from_utf8(out.stdout).unwrap();
        // A script that failed for another reason has not judged the token.
        assert!(answer.contains("\"ok\""), "{script}: {answer}");
        out.status.success()
    })
}

async fn log_in(server: &Server, client: &str) -> String {
    let mut auth = AuthServiceClient::connect(format!("http://{}", server.grpc)).await.unwrap();
    let request = LoginRequest {
        client_id: client.to_owned(),
        login: "grace".to_owned(),
        password: PASSWORD.to_owned(),
        ..LoginRequest::default()
    };
    match auth.login(request).await.unwrap().into_inner().result {
        Some(login_response::Result::Tokens(pair)) => pair.access_token,
        other => panic!("{other:?}"),
    }
}

/// Replaces the payload but keeps header and signature.
fn with_tampered_payload(token: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let last = parts[1].len() - 8;
    let changed = if parts[1].as_bytes()[last] == b'A' { "B" } else { "A" };
    format!("{}.{}{changed}{}.{}", parts[0], &parts[1][..last], &parts[1][last + 1..], parts[2])
}

#[tokio::test]
async fn pyjwt_and_jose_accept_tokens_of_every_algorithm_and_refuse_invalid_ones() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    server.command(&["user", "create", "grace", "--password-stdin"], PASSWORD);
    for alg in ["RS256", "ES256", "EdDSA"] {
        let id = format!("app-{}", alg.to_lowercase());
        let flags = ["client", "create", &id, "--public", "--first-party", "--audience", "api", "--alg", alg];
        server.command(&flags, "");
        let token = log_in(&server, &id).await;
        assert_eq!(verdicts(&server, &token, "api"), [true, true], "{alg}");
        assert_eq!(verdicts(&server, &token, "another"), [false, false], "{alg} with another audience");
        assert_eq!(verdicts(&server, &with_tampered_payload(&token), "api"), [false, false], "{alg} tampered");
        let short = format!("{id}-short");
        let flags = [
            "client",
            "create",
            &short,
            "--public",
            "--first-party",
            "--audience",
            "api",
            "--alg",
            alg,
            "--token-lifetime",
            "1",
        ];
        server.command(&flags, "");
        let token = log_in(&server, &short).await;
        // Both libraries allow no leeway by default; one second is the shortest lifetime.
        tokio::time::timeout(std::time::Duration::from_secs(10), async {
            while verdicts(&server, &token, "api") != [false, false] {}
        })
        .await
        .unwrap_or_else(|_| panic!("{alg} never expired"));
    }
}
