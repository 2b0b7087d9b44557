//! Asks a server whether it is ready, in place of the programs that an image without a shell lacks.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use reqwest::redirect::Policy;
use tokio::net::TcpStream;

/// More than any answer of a server has.
const MOST_BYTES: usize = 4096;

/// Asks the telemetry listener at this address, by TLS if it has any. Returns what it says when it is ready.
///
/// # Errors
/// That nobody answers within that time, or why the server is not ready.
pub async fn readiness((telemetry, tls): (SocketAddr, bool), within: Duration) -> anyhow::Result<String> {
    let address = reachable(telemetry);
    let ask = async { if tls { ask_by_tls(address).await } else { ask(address).await } };
    let asked = tokio::time::timeout(within, ask).await;
    let asked = asked.with_context(|| format!("no answer from {address} within {} s", within.as_secs()))?;
    match asked.with_context(|| format!("cannot ask {address}"))? {
        (StatusCode::OK, text) => Ok(text),
        (status, text) => bail!("not ready: {address} answers {}: {text}", status.as_u16()),
    }
}

/// The address by which a listener at this one is reached from the same machine.
fn reachable(mut listener: SocketAddr) -> SocketAddr {
    if listener.ip().is_unspecified() {
        let loopback = match listener.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        listener.set_ip(loopback);
    }
    listener
}

async fn ask(address: SocketAddr) -> anyhow::Result<(StatusCode, String)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/readyz").header(header::HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    // Drops the sender at its end, and with it the connection.
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        anyhow::Ok((status, String::from_utf8_lossy(&body).trim().to_owned()))
    };
    // How the connection ended does not matter once there is an answer.
    tokio::join!(answer, connection).0
}

/// The certificate is for the name by which others know the server. This asks the machine itself, learns nothing secret,
/// and tells nothing, so it takes any certificate.
async fn ask_by_tls(address: SocketAddr) -> anyhow::Result<(StatusCode, String)> {
    let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).tls_danger_accept_invalid_certs(true);
    let mut response = client.build()?.get(format!("https://{address}/readyz")).send().await?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        anyhow::ensure!(body.len() <= MOST_BYTES, "length limit exceeded");
    }
    Ok((response.status(), String::from_utf8_lossy(&body).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listener, asked) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("192.0.2.7:9", "192.0.2.7:9"),
        ] {
            assert_eq!(reachable(listener.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
