//! Requests as they go over the wire, and their answers.

use std::{fmt::Write as _, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) took: Duration,
}

impl Answer {
    /// The values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether the service gave this answer.
    pub(crate) fn is_from_the_service(&self) -> bool {
        self.all("x-backend") == ["yes"]
    }
}

/// Sends a request and reads the whole answer; `None` if nobody listens or the connection ends without one.
pub(crate) async fn try_ask(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let began = Instant::now();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
        head.push_str("Connection: close\r\n");
    }
    if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding")) {
        write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    head.push_str("\r\n");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let (mut reading, mut writing) = stream.split();
    let request = [head.as_bytes(), body].concat();
    let (mut text, sent) = (Vec::new(), writing.write_all(&request));
    let read = timeout(PATIENCE, async { tokio::join!(sent, reading.read_to_end(&mut text)) }).await;
    assert!(read.is_ok(), "no end of an answer to {method} {path}");
    parse(&String::from_utf8_lossy(&text), began.elapsed())
}

fn parse(text: &str, took: Duration) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split_whitespace().nth(1)?.parse().ok()?;
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Some(Answer { status, headers: lines.filter_map(header).collect(), body: body.to_owned(), took })
}

/// The same, where there must be an answer.
pub(crate) async fn ask(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_ask(port, method, path, headers, body).await.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks for another protocol. Returns the status, and, once the protocol has changed, what comes back first of `then`.
pub(crate) async fn ask_upgrade(port: u16, method: &str, headers: &[(&str, &str)], then: &[u8]) -> (u16, Vec<u8>) {
    let mut head = format!("{method} /orders/7 HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    let asking = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => text.push(byte),
                Err(_) => break,
            }
        }
        let text = String::from_utf8_lossy(&text);
        let status = text.split_whitespace().nth(1).unwrap_or_else(|| panic!("no answer to {head}")).parse().unwrap();
        let mut back = vec![0; if status == 101 { then.len() } else { 0 }];
        if status == 101 {
            stream.write_all(then).await.unwrap();
            stream.read_exact(&mut back).await.unwrap();
        }
        (status, back)
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("no end of an answer to {head}"))
}
