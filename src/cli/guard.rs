//! `chancery guard`. It needs no database.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use chancery_guard::{
    Guard as Process, ListenAddrs,
    listener::{Limits, TlsFiles as ListenerFiles},
};
use chancery_verify::{Gate, Policy, SettingsError, TlsFiles, Verifier, Watch, WatchError};
use clap::Args;

use super::{output, serve::signals};
use crate::app::{self, config::LogFormat, machine};

/// Maximum clock difference.
const LEEWAY: Duration = Duration::from_secs(30);
/// The default cap of connections where there are plenty of open files.
const MAX_CONNECTIONS: u64 = 4096;
/// A cap that still serves a few clients.
const LEAST_CONNECTIONS: u64 = 8;
/// Open files that are kept for everything else.
const FILES_RESERVE: u64 = 48;
/// The default listener.
const DEFAULT_HTTP: &str = "127.0.0.1:9080";

/// Run a verifier beside a service, for proxies and for services in any language.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Guard {
    /// Issuer of the tokens
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// Audience of the tokens; repeat it for more
    #[arg(long = "audience", value_name = "A", required = true)]
    audiences: Vec<String>,
    /// URL of the issuer's keys [default: .well-known/jwks.json below the issuer]
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// gRPC endpoint to watch for revocations; without it, status lists are read
    #[arg(long, value_name = "URL", requires = "client_id", requires = "client_secret_file")]
    watch: Option<String>,
    /// Confidential client to watch as; it needs the permission revocations.read
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// File with the secret of that client; it is read again before each connection
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// Watch, and fetch keys and lists, beyond this machine without TLS, on a network that is encrypted already
    #[arg(long)]
    plaintext_beyond_loopback: bool,
    /// Authorities (PEM) to trust at the issuer, in place of the system's; read again when it changes
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Certificate (PEM) to present to an issuer that asks for one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// Ignore revocations: a token is valid until it expires
    #[arg(long, conflicts_with = "watch")]
    no_revocations: bool,
    /// How long to accept tokens while the issuer is unreachable; 0 is strict
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    fail_open_for: u64,
    /// Memory for tokens that were checked before, in bytes; 0 checks each one anew
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024 * 1024)]
    cache_bytes: usize,
    /// Scope that every token must have
    #[arg(long = "require-scope", value_name = "S")]
    scopes: Vec<String>,
    /// Permission that every token must have
    #[arg(long = "require-permission", value_name = "P")]
    permissions: Vec<String>,
    /// Accept tokens of guests too, who have a session but have not signed in (`acr` is `0`)
    #[arg(long)]
    allow_guests: bool,
    /// Let every request pass; count and log those that would be refused
    #[arg(long)]
    observe: bool,
    /// HTTP listener for nginx, Caddy and Traefik [default: 127.0.0.1:9080 if no other listener is given]
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// gRPC listener for Envoy
    #[arg(long, value_name = "ADDR")]
    ext_authz: Option<SocketAddr>,
    /// Unix socket for services on this machine
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Certificate of the HTTP and gRPC listeners (PEM), followed by those that lead to its authority; read again when
    /// it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Authorities (PEM) one of which must have issued the certificate of each client
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Connections that each listener keeps open [default: 4096, or fewer where fewer files may be open]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_connections: Option<u32>,
    /// Connections of one IPv4 address or one /64 of IPv6 at each listener; 0 for no such limit. Loopback has none
    /// [default: half of max-connections]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    max_connections_per_address: Option<u32>,
    /// Seconds that a client may take to send the headers of a request
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86400))]
    header_seconds: u32,
    /// Seconds that a connection without a request stays open
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=86400))]
    idle_seconds: u32,
    /// Log filter, as `tracing` directives
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
    /// Log format [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Guard {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        app::init_logs(&self.log, self.log_format.unwrap_or_default())?;
        let signals = signals()?;
        machine::raise_open_files();
        let limits = self.limits(machine::open_files())?;
        let guard = Process::bind(self.gate().await?, &self.listen_addrs()?).await?.limits(limits);
        let guard = guard.read_again_on(signals.reloads.clone());
        output::line(&format!("ready {}", guard.addresses()))?;
        guard.serve(signals.stopped(1)).await;
        Ok(())
    }

    fn listen_addrs(&self) -> anyhow::Result<ListenAddrs> {
        let Self { mut http, ext_authz, ref socket, .. } = *self;
        if http.is_none() && ext_authz.is_none() && socket.is_none() {
            http = Some(DEFAULT_HTTP.parse()?);
        }
        let pair = self.tls_cert.clone().zip(self.tls_key.clone());
        let client_ca = self.tls_client_ca.clone();
        let tls = pair.map(|(cert, key)| ListenerFiles { cert, key, client_ca });
        Ok(ListenAddrs { http, ext_authz, socket: socket.clone(), tls })
    }

    /// The limits of each listener, where this many files may be open.
    fn limits(&self, open_files: Option<u64>) -> anyhow::Result<Limits> {
        let files = open_files.unwrap_or(u64::MAX).saturating_sub(FILES_RESERVE);
        let listeners = self.listeners();
        let available = (files / listeners).max(LEAST_CONNECTIONS);
        if let Some(given) = self.max_connections.filter(|given| u64::from(*given) > available) {
            bail!(
                "--max-connections: {given} connections of each listener and everything else take {} open files, and \
                 this process may open {}; set at most {available}, or raise the limit on open files (ulimit -n)",
                listeners * u64::from(given) + FILES_RESERVE,
                open_files.unwrap_or(0)
            );
        }
        // The same for any number of listeners.
        let usual = u32::try_from((files / 3).clamp(LEAST_CONNECTIONS, MAX_CONNECTIONS)).unwrap_or(u32::MAX);
        let connections = self.max_connections.unwrap_or(usual);
        let per_address = self.max_connections_per_address.unwrap_or(connections.div_ceil(2));
        Ok(Limits {
            connections: connections as usize,
            per_address: per_address as usize,
            head: Duration::from_secs(self.header_seconds.into()),
            idle: Duration::from_secs(self.idle_seconds.into()),
            ..Limits::default()
        })
    }

    /// How many listeners there are.
    fn listeners(&self) -> u64 {
        let given = [self.http.is_some(), self.ext_authz.is_some(), self.socket.is_some()];
        given.into_iter().map(u64::from).sum::<u64>().max(1)
    }

    /// The certificates for what is fetched, if there are any.
    fn tls_files(&self) -> Option<TlsFiles> {
        let client = self.client_cert.as_ref().zip(self.client_key.as_ref());
        let files = self.ca_file.iter().fold(TlsFiles::new(), TlsFiles::ca_file);
        let files = client.iter().fold(files, |files, (cert, key)| files.client_certificate_files(cert, key));
        (files != TlsFiles::new()).then_some(files)
    }

    async fn gate(&self) -> anyhow::Result<Gate> {
        let gate = self.scopes.iter().fold(Gate::new(self.verifier().await?), Gate::require_scope);
        let gate = self.permissions.iter().fold(gate, Gate::require_permission);
        Ok(gate.observe(self.observe))
    }

    async fn verifier(&self) -> anyhow::Result<Verifier> {
        let (first, more) = self.audiences.split_first().context("--audience is missing")?;
        let policy = more.iter().fold(Policy::new(&self.issuer, first).leeway(LEEWAY), Policy::audience);
        let policy = policy.allow_guests(self.allow_guests);
        let mut verifier = Verifier::with_policy(policy).fail_open_for(Duration::from_secs(self.fail_open_for));
        verifier = verifier.cache_bytes(self.cache_bytes);
        if let Some(files) = self.tls_files() {
            verifier = verifier.tls_files(files);
        }
        if let Some(url) = &self.jwks_url {
            verifier = verifier.jwks_url(url);
        }
        if self.plaintext_beyond_loopback {
            verifier = verifier.plain_http_beyond_loopback();
        }
        verifier = match &self.watch {
            Some(endpoint) => verifier.watch(self.watch(endpoint).await?),
            None if self.no_revocations => verifier,
            None => verifier.status_lists(),
        };
        match verifier.build() {
            Err(SettingsError::Plaintext { setting, host }) => bail!(
                "--{}: what is fetched from {host} over plain http could be changed on the way; use https, or add \
                 --plaintext-beyond-loopback",
                setting.replace('_', "-")
            ),
            Err(SettingsError::Address { setting, problem }) => {
                bail!("--{} {problem}; an example is https://id.example.com", setting.replace('_', "-"))
            }
            other => Ok(other?),
        }
    }

    async fn watch(&self, endpoint: &str) -> anyhow::Result<Watch> {
        let id = self.client_id.as_deref().context("--client-id is missing")?;
        let path = self.client_secret_file.as_deref().context("--client-secret-file is missing")?;
        let watch = Watch::builder_with_secret_file(endpoint, id, path).await;
        let mut watch = watch.with_context(|| format!("--client-secret-file: cannot read {}", path.display()))?;
        if let Some(files) = self.tls_files() {
            watch = watch.tls_files(files);
        }
        if self.plaintext_beyond_loopback {
            watch = watch.plain_http_beyond_loopback();
        }
        match watch.build() {
            Err(WatchError::Plaintext(_)) => {
                bail!(
                    "--watch {endpoint} would send the secret unencrypted; use https, or add --plaintext-beyond-loopback"
                )
            }
            other => Ok(other?),
        }
    }
}
