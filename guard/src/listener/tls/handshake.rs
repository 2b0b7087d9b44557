//! The handshake of one connection.

use std::{io, sync::Arc};

use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

/// The first byte of a TLS connection: a record of the handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
/// What a client of plain HTTP/1.1 is told. It would only see the connection end otherwise.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n\
    This port speaks TLS: ask it by https://\n";

/// Waits for the first byte, and leaves it there.
pub(super) async fn first_byte(stream: &TcpStream) -> io::Result<u8> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0]),
    }
}

/// Makes a connection of a stream that begins with this byte.
pub(super) async fn accept(
    config: Arc<ServerConfig>,
    mut stream: TcpStream,
    first: u8,
) -> io::Result<TlsStream<TcpStream>> {
    if first != HANDSHAKE {
        if first.is_ascii_uppercase() {
            // What it sent is not read, so it may see a reset instead.
            stream.write_all(PLAIN).await?;
            stream.shutdown().await?;
        }
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not begin with a TLS handshake"));
    }
    TlsAcceptor::from(config).accept(stream).await
}
