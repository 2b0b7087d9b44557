//! As little HTTP/1.1 as asking for one page again and again takes.

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::load::{Caller, Outcome, Refusal};

/// One connection, kept open.
#[derive(Debug)]
pub(crate) struct Getter {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

/// An answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes up to and with the empty line.
    length: usize,
    /// Bytes after it.
    body: usize,
}

/// Reads a head; nothing if it is not complete.
fn head(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let mut lines = text.split("\r\n");
    let status =
        lines.next().and_then(|l| l.strip_prefix("HTTP/1.1 ")).and_then(|l| l.get(..3)).context("no status")?;
    let mut body = None;
    for line in lines {
        let (name, value) = line.split_once(':').context("a header without a colon")?;
        if name.eq_ignore_ascii_case("content-length") {
            body = Some(value.trim().parse()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("an answer in chunks");
        }
    }
    Ok(Some(Head { status: status.parse()?, length: end + 4, body: body.context("no content-length")? }))
}

impl Getter {
    /// Connects.
    pub(crate) async fn connect(address: &str, path: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes();
        Ok(Self { stream, request, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Asks once; gives the status and the whole answer's length in the buffer.
    async fn once(&mut self) -> anyhow::Result<Head> {
        self.stream.write_all(&self.request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed");
            }
            if let Some(head) = head(&self.buffer)?
                && self.buffer.len() >= head.length + head.body
            {
                return Ok(head);
            }
        }
    }

    /// Asks once; gives the headers in their order, and the body.
    pub(crate) async fn get(&mut self) -> anyhow::Result<(Vec<(String, String)>, Vec<u8>)> {
        let head = self.once().await?;
        anyhow::ensure!(head.status == 200, "status {}", head.status);
        let (text, body) = self.buffer.split_at_checked(head.length).context("a short answer")?;
        let lines = std::str::from_utf8(text)?.split("\r\n").skip(1).filter_map(|l| l.split_once(':'));
        let headers = lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Ok((headers, body.to_vec()))
    }
}

impl Caller for Getter {
    async fn call(&mut self) -> Outcome {
        match self.once().await {
            Ok(head) if head.status == 200 => Outcome::Answered,
            Ok(head) => Outcome::Refused(Refusal { label: format!("HTTP {}", head.status), lost: false }),
            Err(error) => Outcome::Broken(Refusal { label: format!("{error:#}"), lost: true }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\ncontent-length: 12\r\n\r\nabc";
        assert_eq!(head(text).unwrap(), Some(Head { status: 200, length: 56, body: 12 }));
        assert_eq!(head(&text[..40]).unwrap(), None);
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(head(b"SMTP\r\n\r\n").is_err());
        assert!(head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
