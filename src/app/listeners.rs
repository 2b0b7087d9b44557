//! The sockets of a server, bound before anything is changed.

use std::{fmt::Write, io::ErrorKind, net::SocketAddr};

use anyhow::Context;
use tokio::net::TcpListener;

use super::config::Config;

/// Every listener.
#[derive(Debug)]
pub(super) struct Listeners {
    /// `None` if gRPC shares the HTTP listener.
    pub(super) grpc: Option<TcpListener>,
    pub(super) http: TcpListener,
    pub(super) telemetry: TcpListener,
    /// Of the check, if it is on.
    pub(super) check: Option<TcpListener>,
    /// In front of the application of a demo, if there is one.
    pub(super) app: Option<TcpListener>,
}

impl Listeners {
    /// Binds them.
    ///
    /// # Errors
    /// A busy port, with the flag that moves the listener.
    pub(super) async fn bind(config: &Config) -> anyhow::Result<Self> {
        let listen = &config.listen;
        let grpc = if listen.is_shared() { None } else { Some(bind("--grpc", listen.grpc).await?) };
        let http = bind("--http", listen.http).await?;
        let telemetry = bind("--telemetry", listen.telemetry).await?;
        let check = match listen.check {
            Some(address) if listen.check_moves => Some(bind_or_move(address).await?),
            Some(address) => Some(bind("--check", address).await?),
            None => None,
        };
        let app = match &config.app {
            Some(app) => Some(bind("--app-listen", app.listen).await?),
            None => None,
        };
        Ok(Self { grpc, http, telemetry, check, app })
    }

    /// Where gRPC is spoken.
    pub(super) fn grpc_address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.grpc.as_ref().unwrap_or(&self.http).local_addr()?)
    }

    /// Where browsers find the application.
    pub(super) fn app_port(&self) -> anyhow::Result<Option<u16>> {
        Ok(self.app.as_ref().map(TcpListener::local_addr).transpose()?.map(|address| address.port()))
    }

    /// The addresses that every server has.
    pub(super) fn shown(&self) -> anyhow::Result<String> {
        let Self { grpc, http, telemetry, .. } = self;
        let grpc = grpc.as_ref().unwrap_or(http);
        let (grpc, http, telemetry) = (grpc.local_addr()?, http.local_addr()?, telemetry.local_addr()?);
        Ok(format!("grpc={grpc} http={http} telemetry={telemetry}"))
    }

    /// The others, each with a space before it.
    pub(super) fn shown_last(&self) -> anyhow::Result<String> {
        let mut shown = String::new();
        // Writing into a String cannot fail.
        if let Some(check) = &self.check {
            let _ = write!(shown, " check={}", check.local_addr()?);
        }
        if let Some(port) = self.app_port()? {
            let _ = write!(shown, " app=http://localhost:{port}");
        }
        Ok(shown)
    }
}

async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} ({flag})"))
}

/// Two demos on one machine do not stop each other over a port that nobody asked for.
async fn bind_or_move(address: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            tracing::warn!("{address} is in use, so the check listens on another port; --check chooses one");
            bind("--check", SocketAddr::new(address.ip(), 0)).await
        }
        bound => bound.with_context(|| format!("cannot listen on {address} (--check)")),
    }
}
