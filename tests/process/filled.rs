//! Users who try to fill the memory of a server and of a guard, with tokens full of small objects.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
};

use chancery::grpc::pb::{GetMeRequest, account_service_client::AccountServiceClient};
use tonic::Request;

use crate::{
    calls::{PASSWORD, log_in_as, refresh_as, start},
    place::Place,
    server::{Server, command},
};

/// Tokens, each of which takes 220 KB when its claims are parsed.
const TOKENS: usize = 400;
const CLIENT: &str = "portal";

/// Resident memory of a process, in MiB.
fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// A user whose profile is a claim in the tokens of a client, which are for the server itself.
fn with_profile(server: &Server) {
    let profile = vec![r#"{"a":1}"#; 300].join(",");
    let attributes = format!(r#"{{"profile":[{profile}]}}"#);
    server.command(&["user", "create", "mallory", "--password-stdin", "--attributes", &attributes], PASSWORD);
    let flags = ["--public", "--first-party", "--alg", "ES256", "--claim", "profile=profile", "--audience"];
    server.command(&[&["client", "create", CLIENT], &flags[..], &[&server.issuer]].concat(), "");
}

/// A guard that is killed when the test ends.
struct Guard {
    child: Child,
    address: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A guard with a cache of one MiB.
fn start_guard(server: &Server) -> Guard {
    let flags = ["--http", "127.0.0.1:0", "--no-revocations", "--cache-bytes", "1048576"];
    let mut guard = command(&["guard", "--issuer", &server.issuer, "--audience", &server.issuer]);
    let mut child = guard.args(flags).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("ready http=").unwrap().to_owned();
    Guard { child, address }
}

/// The status line of the guard's answer to a token.
fn ask(guard: &str, token: &str) -> String {
    let mut stream = TcpStream::connect(guard).unwrap();
    write!(stream, "GET /check HTTP/1.1\r\nhost: g\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn tokens_full_of_small_objects_fill_neither_a_server_nor_a_guard() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    with_profile(&server);
    let guard = start_guard(&server);
    let channel = server.channel().await;
    let mut pair = log_in_as(channel.clone(), CLIENT, "mallory", PASSWORD).await.unwrap();
    let mut before = (0, 0);
    for n in 0..TOKENS {
        assert!((3_000..4_096).contains(&pair.access_token.len()), "{}", pair.access_token.len());
        let mut request = Request::new(GetMeRequest::default());
        let bearer = format!("Bearer {}", pair.access_token).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        AccountServiceClient::new(channel.clone()).get_me(request).await.unwrap();
        assert_eq!(ask(&guard.address, &pair.access_token), "HTTP/1.1 200 OK");
        if n == 20 {
            // What a few calls need is there.
            before = (resident(server.id()), resident(guard.child.id()));
        }
        pair = refresh_as(channel.clone(), CLIENT, &pair.refresh_token, "").await.unwrap();
    }
    let grown = (resident(server.id()).saturating_sub(before.0), resident(guard.child.id()).saturating_sub(before.1));
    println!("{TOKENS} tokens of 220 KB each cost the server {} MiB and the guard {} MiB", grown.0, grown.1);
    assert!(grown.0 < 40 && grown.1 < 40, "{grown:?}");
}
