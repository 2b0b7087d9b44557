//! Bodies that nobody reads, as they go over the wire: the connection stays usable, or the answer says that it ends.

use std::{fmt::Write as _, time::Duration};

use http::{HeaderMap, header};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::{place::Place, server::Server};

const PATIENCE: Duration = Duration::from_secs(30);
const LOGIN: &str = "/chancery.v1.AuthService/Login";
const KEYS: &str = "/chancery.v1.KeyService/GetJwks";

/// A connection that is kept for several requests.
struct Kept(BufReader<TcpStream>);

impl Kept {
    async fn open(server: &Server) -> Self {
        Self(BufReader::new(TcpStream::connect(&server.http).await.unwrap()))
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The status and the headers of the next answer, whose body is read.
    async fn answer(&mut self) -> (u16, HeaderMap) {
        timeout(PATIENCE, self.read()).await.expect("no answer")
    }

    async fn read(&mut self) -> (u16, HeaderMap) {
        let first = self.line().await;
        let status = first.split(' ').nth(1).unwrap_or_else(|| panic!("{first:?}")).parse().unwrap();
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.append(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let length = headers.get(header::CONTENT_LENGTH).map_or(0, |n| n.to_str().unwrap().parse().unwrap());
        self.0.read_exact(&mut vec![0; length]).await.unwrap();
        (status, headers)
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end().to_owned()
    }
}

fn head(path: &str, kind: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n");
    for (name, value) in more {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn whole(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    [&head(path, kind, &[("content-length", &body.len().to_string())])[..], body].concat()
}

/// A call that succeeds.
async fn assert_usable(kept: &mut Kept, after: &str) {
    kept.send(&whole(KEYS, "application/json", b"{}")).await;
    assert_eq!(kept.answer().await.0, 200, "after {after}");
}

fn start() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(&Place::sqlite(&dir.path().join("data")), &[]);
    (dir, server)
}

#[tokio::test]
async fn a_connection_stays_usable_after_a_body_that_nobody_wanted() {
    let (_dir, server) = start();
    let large = vec![b'x'; 1024 * 1024];
    let framed = [&[0, 0, 16, 0, 0][..], &large].concat();
    for (kind, body, status) in
        [("application/json", &large, 400), ("text/plain", &large, 415), ("application/grpc-web+proto", &framed, 200)]
    {
        let mut kept = Kept::open(&server).await;
        kept.send(&whole(LOGIN, kind, body)).await;
        let (answered, headers) = kept.answer().await;
        assert_eq!((answered, headers.get(header::CONNECTION)), (status, None), "{kind}");
        assert_usable(&mut kept, kind).await;
    }
}

#[tokio::test]
async fn a_body_may_come_after_its_call_was_refused() {
    let (_dir, server) = start();
    let (mut kept, mut other) = (Kept::open(&server).await, Kept::open(&server).await);
    kept.send(&head(LOGIN, "text/plain", &[("content-length", "4")])).await;
    // By the time that another call is answered, the server has seen this one.
    assert_usable(&mut other, "nothing").await;
    kept.send(b"late").await;
    assert_eq!(kept.answer().await.0, 415);
    assert_usable(&mut kept, "the late body").await;
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_the_connection_and_the_answer_says_so() {
    let (_dir, server) = start();
    let mut kept = Kept::open(&server).await;
    kept.send(&head(LOGIN, "text/plain", &[("content-length", "4")])).await;
    let (status, headers) = kept.answer().await;
    assert_eq!((status, headers[header::CONNECTION].to_str().unwrap()), (415, "close"));
    assert_eq!(timeout(PATIENCE, kept.0.read_to_end(&mut Vec::new())).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn who_asks_first_sends_no_body_in_vain() {
    let (_dir, server) = start();
    for (kind, length, status) in [("application/json", "1000000", 400), ("text/plain", "4", 415)] {
        let mut kept = Kept::open(&server).await;
        kept.send(&head(LOGIN, kind, &[("content-length", length), ("expect", "100-continue")])).await;
        let (answered, headers) = kept.answer().await;
        assert_eq!((answered, headers[header::CONNECTION].to_str().unwrap()), (status, "close"), "{kind}");
    }
    let mut kept = Kept::open(&server).await;
    kept.send(&head(KEYS, "application/json", &[("content-length", "2"), ("expect", "100-continue")])).await;
    assert_eq!(kept.answer().await.0, 100);
    kept.send(b"{}").await;
    assert_eq!(kept.answer().await.0, 200);
}

#[tokio::test]
async fn a_message_has_its_largest_size_to_the_byte() {
    let (_dir, server) = start();
    for (size, status) in [(65_535, 401), (65_536, 401), (65_537, 400)] {
        let mut kept = Kept::open(&server).await;
        let (before, after) = (r#"{"clientId":""#, r#"","login":"a","password":"b"}"#);
        let body = format!("{before}{}{after}", "x".repeat(size - before.len() - after.len()));
        kept.send(&whole(LOGIN, "application/json", body.as_bytes())).await;
        assert_eq!(kept.answer().await.0, status, "{size}");
        assert_usable(&mut kept, "it").await;
    }
}

#[tokio::test]
async fn only_the_exact_path_of_a_method_is_a_call() {
    let (_dir, server) = start();
    for (path, status) in [
        (KEYS.to_owned(), 200),
        (format!("{KEYS}?x=1"), 200),
        (format!("http://{}{KEYS}", server.http), 200),
        (format!("/{KEYS}"), 404),
        (format!("{KEYS}/"), 404),
        (KEYS.replace('/', "//"), 404),
        (KEYS.replace("/Get", "%2FGet"), 404),
        (KEYS.replace("chancery.", "chancery%2E"), 404),
        (KEYS.replace("Jwks", "%4Awks"), 501),
        (KEYS.to_lowercase(), 404),
        (format!("/x/..{KEYS}"), 404),
    ] {
        let mut kept = Kept::open(&server).await;
        kept.send(&whole(&path, "application/json", b"{}")).await;
        assert_eq!(kept.answer().await.0, status, "{path}");
    }
}
