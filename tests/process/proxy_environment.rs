//! Which proxy the environment makes a verifier use, as docs/verifying.md says.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::server::command;

const PATIENCE: Duration = Duration::from_secs(30);
const NAMES: [&str; 8] =
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"];

struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a guard in this environment, and has it fetch the issuer's keys.
async fn start_guard(issuer: &str, environment: &[(&str, &str)]) -> Guard {
    start(issuer, &[], environment).await
}

/// The same, where plain HTTP to another machine is allowed.
async fn start_plain(issuer: &str, environment: &[(&str, &str)]) -> Guard {
    start(issuer, &["--plaintext-beyond-loopback"], environment).await
}

async fn start(issuer: &str, more: &[&str], environment: &[(&str, &str)]) -> Guard {
    let mut command =
        command(&["guard", "--issuer", issuer, "--audience", "api", "--no-revocations", "--http", "127.0.0.1:0"]);
    command.args(more);
    for name in NAMES {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let guard = Guard(child);
    let address: SocketAddr = line.trim().trim_start_matches("ready http=").parse().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    guard
}

/// The first line of the next request.
async fn next_request(listener: &TcpListener) -> String {
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.expect("nothing was fetched").unwrap();
    let mut request = [0; 1024];
    let length = timeout(PATIENCE, stream.read(&mut request)).await.unwrap().unwrap();
    String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn keys_are_fetched_through_the_proxy_of_the_environment() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = format!("http://{}", proxy.local_addr().unwrap());
    let here = format!("http://{}", issuer.local_addr().unwrap());
    let path = "/.well-known/jwks.json HTTP/1.1";

    let _guard = start_guard("https://id.invalid", &[("HTTPS_PROXY", &through)]).await;
    assert_eq!(next_request(&proxy).await, "CONNECT id.invalid:443 HTTP/1.1");
    let _guard = start_guard("https://id.invalid", &[("all_proxy", &through)]).await;
    assert_eq!(next_request(&proxy).await, "CONNECT id.invalid:443 HTTP/1.1");
    // What is sent in plain text stays on this machine, whatever the environment says.
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let _guard = start_guard(&here, &[(name, &through)]).await;
        assert_eq!(next_request(&issuer).await, format!("GET {path}"), "{name}");
    }
    let far = "http://id.invalid";
    let _guard = start_plain(far, &[("HTTP_PROXY", &through)]).await;
    assert_eq!(next_request(&proxy).await, format!("GET {far}{path}"));
}
