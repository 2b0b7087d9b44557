//! A minimal HTTP/1.1 client that requests one page over and over.

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::load::{Caller, Failure, Outcome};

/// One persistent connection.
#[derive(Debug)]
pub(crate) struct HttpGetter {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

/// The head of a response.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes up to and including the empty line.
    length: usize,
    /// Bytes of the body.
    body: usize,
}

/// Parses a head; returns `None` if it is not complete.
fn parse_head(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let mut lines = text.split("\r\n");
    let status =
        lines.next().and_then(|l| l.strip_prefix("HTTP/1.1 ")).and_then(|l| l.get(..3)).context("no HTTP status")?;
    let mut body = None;
    for line in lines {
        let (name, value) = line.split_once(':').context("a header without a colon")?;
        if name.eq_ignore_ascii_case("content-length") {
            body = Some(value.trim().parse()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("chunked responses are not supported");
        }
    }
    Ok(Some(Head { status: status.parse()?, length: end + 4, body: body.context("no content-length")? }))
}

impl HttpGetter {
    /// Opens a connection whose requests have these headers too.
    pub(crate) async fn connect_with(address: &str, path: &str, headers: &[(String, String)]) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n").into_bytes();
        Ok(Self { stream, request, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Opens this many connections.
    pub(crate) async fn several(
        count: usize,
        address: &str,
        path: &str,
        headers: &[(String, String)],
    ) -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(Self::connect_with(address, path, headers).await?);
        }
        Ok(all)
    }

    /// Sends one request; returns the status.
    pub(crate) async fn status(&mut self) -> anyhow::Result<u16> {
        Ok(self.request_once().await?.status)
    }

    /// Sends one request and reads the response into the buffer.
    async fn request_once(&mut self) -> anyhow::Result<Head> {
        self.stream.write_all(&self.request).await?;
        self.response().await
    }

    /// Sends any request; returns the status and the body.
    pub(crate) async fn exchange(&mut self, request: Vec<u8>) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(&request).await?;
        let head = self.response().await?;
        Ok((head.status, self.buffer.get(head.length..).unwrap_or_default()))
    }

    async fn response(&mut self) -> anyhow::Result<Head> {
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed");
            }
            if let Some(head) = parse_head(&self.buffer)?
                && self.buffer.len() >= head.length + head.body
            {
                return Ok(head);
            }
        }
    }

    /// Sends one request; returns the headers in order, and the body.
    pub(crate) async fn get(&mut self) -> anyhow::Result<(Vec<(String, String)>, Vec<u8>)> {
        let head = self.request_once().await?;
        anyhow::ensure!(head.status == 200, "status {}", head.status);
        let (text, body) = self.buffer.split_at_checked(head.length).context("the response is too short")?;
        let lines = std::str::from_utf8(text)?.split("\r\n").skip(1).filter_map(|l| l.split_once(':'));
        let headers = lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Ok((headers, body.to_vec()))
    }
}

impl Caller for HttpGetter {
    async fn call(&mut self) -> Outcome {
        match self.request_once().await {
            Ok(head) if head.status == 200 => Outcome::Answered,
            Ok(head) => Outcome::Failed(Failure { label: format!("HTTP {}", head.status), lost: false }),
            Err(error) => Outcome::Broken(Failure { label: format!("{error:#}"), lost: true }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_parsed_once_it_is_complete() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\ncontent-length: 12\r\n\r\nabc";
        assert_eq!(parse_head(text).unwrap(), Some(Head { status: 200, length: 56, body: 12 }));
        assert_eq!(parse_head(&text[..40]).unwrap(), None);
        assert!(parse_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse_head(b"SMTP\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
