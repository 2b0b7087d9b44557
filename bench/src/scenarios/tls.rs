//! What TLS costs: refreshes over it against the same in plain text, and handshakes.

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        client::Resumption,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use super::{Bench, refresh::create_chains_over};
use crate::{
    args::Engine,
    calls::Connections,
    load::{Caller, Failure, Outcome, closed_loop},
    report::Row,
    stats::Measurement,
};

/// Clients that shake hands at once: enough for one core of the server.
const CLIENTS: usize = 16;

/// Compares refreshes over TLS with plain ones, and measures handshakes.
pub(super) async fn run(bench: &mut Bench, engine: Engine) -> anyhow::Result<()> {
    let deployment = bench.deployment(engine).await?;
    let (plain, (encrypted, ca)) = (deployment.serve().await?, deployment.serve_with_tls().await?);
    let connections = bench.run.connections;
    let open = Connections::open(&plain.grpc, connections).await?;
    let (mut plain_chains, _) = create_chains_over(bench, &deployment, open).await?;
    let open = Connections::open_tls(&encrypted.grpc, connections, &ca).await?;
    let (mut tls_chains, _) = create_chains_over(bench, &deployment, open).await?;
    let mut refreshes = Row::new("refresh ES256 over TLS 1.3", "/s").against("in plain text");
    let mut full = Row::new("TLS 1.3 handshakes, ECDSA P-256", "/s").against("TCP connections");
    let mut resumed = Row::new("TLS 1.3 handshakes, resumed", "/s").against("in full");
    for _ in 0..bench.run.runs {
        let (without, left) = closed_loop(plain_chains, bench.window(), plain.id()).await?;
        plain_chains = left;
        let (with, left) = closed_loop(tls_chains, bench.window(), encrypted.id()).await?;
        tls_chains = left;
        refreshes.add_compared(with.rate(), without.rate());
        refreshes.detail(with);
        refreshes.ceiling_run(without);
        let bare = handshakes(bench, &encrypted, None).await?;
        let whole = handshakes(bench, &encrypted, Some(client(&ca, false)?)).await?;
        let short = handshakes(bench, &encrypted, Some(client(&ca, true)?)).await?;
        full.add_compared(whole.rate(), bare.rate());
        resumed.add_compared(short.rate(), whole.rate());
        full.detail(whole);
        full.ceiling_run(bare);
        resumed.detail(short);
    }
    for row in [refreshes, full, resumed] {
        bench.report.add(row);
    }
    Ok(())
}

async fn handshakes(
    bench: &Bench,
    server: &crate::deployment::Server,
    tls: Option<TlsConnector>,
) -> anyhow::Result<Measurement> {
    let callers = (0..CLIENTS).map(|_| Dialler { address: server.http.clone(), tls: tls.clone() }).collect();
    let (measured, _) = closed_loop::<Dialler>(callers, bench.window(), server.id()).await?;
    Ok(measured)
}

/// A client that trusts the authority, and perhaps keeps tickets.
fn client(ca: &str, resumes: bool) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).context("the authority")?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Opens a connection, asks for nothing, and closes it.
struct Dialler {
    address: String,
    tls: Option<TlsConnector>,
}

impl Dialler {
    /// A ticket comes with the first answer at the earliest, so there is one.
    async fn dial(&self) -> anyhow::Result<()> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        const REQUEST: &[u8] = b"GET /nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let mut stream = TcpStream::connect(&self.address).await?;
        let mut answer = Vec::new();
        let Some(tls) = &self.tls else {
            // A byte that begins no handshake ends the connection.
            stream.write_all(&[0]).await?;
            let _ = stream.read_to_end(&mut answer).await;
            return Ok(());
        };
        let mut stream = tls.connect(ServerName::try_from("localhost")?, stream).await?;
        stream.write_all(REQUEST).await?;
        let _ = stream.read_to_end(&mut answer).await;
        anyhow::ensure!(answer.starts_with(b"HTTP/1.1 "), "no answer");
        Ok(())
    }
}

impl Caller for Dialler {
    async fn call(&mut self) -> Outcome {
        match self.dial().await {
            Ok(()) => Outcome::Answered,
            Err(error) => Outcome::Failed(Failure { label: error.to_string(), lost: true }),
        }
    }
}
