//! `chancery serve`.

use std::path::PathBuf;

use clap::Args;

use super::Place;
use crate::app::{self, config::LogFormat, config::Settings};

/// Run the server.
#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    place: Place,
    /// Run a demo with well-known passwords, on loopback, in ./chancery-dev
    #[arg(long)]
    dev: bool,
    /// gRPC listener [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR")]
    grpc: Option<String>,
    /// HTTP listener [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Telemetry listener [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR")]
    telemetry: Option<String>,
    /// Issuer URL by which verifiers know this server; fixed when the database is set up
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Log filter, as `tracing` directives [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Log format [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Passwords hashed at once [default: the number of cores]
    #[arg(long, value_name = "N")]
    hashing_threads: Option<u32>,
    /// Sign-ins that may wait to be hashed [default: 40 for each thread]
    #[arg(long, value_name = "N")]
    hashing_queue: Option<u32>,
    /// Memory for hashing, in MiB [default: 19 for each thread]
    #[arg(long, value_name = "MIB")]
    hashing_memory_mib: Option<u32>,
    /// Mail server: `smtps://host:465`, `smtp://host:587` (STARTTLS) or `smtp+plain://127.0.0.1:25` (loopback)
    #[arg(long, value_name = "URL")]
    mail_smtp: Option<String>,
    /// Sender of mails
    #[arg(long, value_name = "ADDRESS")]
    mail_from: Option<String>,
    /// User name for the mail server
    #[arg(long, value_name = "NAME")]
    mail_username: Option<String>,
    /// File with the password for the mail server
    #[arg(long, value_name = "FILE")]
    mail_password_file: Option<PathBuf>,
    /// CA certificates (PEM) to trust for the mail server, instead of the system's
    #[arg(long, value_name = "FILE")]
    mail_ca_file: Option<PathBuf>,
    /// Directory of mail templates that replace the built-in ones
    #[arg(long, value_name = "DIR")]
    mail_templates: Option<PathBuf>,
    /// Listen beyond loopback without TLS, behind a proxy that terminates TLS
    #[arg(long)]
    plaintext_beyond_loopback: bool,
    /// Migrate an older schema on PostgreSQL; SQLite is copied and migrated without this flag
    #[arg(long)]
    migrate: bool,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let flags = Settings {
            grpc: self.grpc,
            http: self.http,
            telemetry: self.telemetry,
            issuer: self.issuer,
            log: self.log,
            log_format: self.log_format,
            hashing_threads: self.hashing_threads,
            hashing_queue: self.hashing_queue,
            hashing_memory_mib: self.hashing_memory_mib,
            mail_smtp: self.mail_smtp,
            mail_from: self.mail_from,
            mail_username: self.mail_username,
            mail_password_file: self.mail_password_file,
            mail_ca_file: self.mail_ca_file,
            mail_templates: self.mail_templates,
            plaintext_beyond_loopback: self.plaintext_beyond_loopback.then_some(true),
            migrate: self.migrate,
            ..Settings::default()
        };
        let config = self.place.config(flags, self.dev)?;
        app::init_logs(&config.log, config.log_format)?;
        Box::pin(app::serve(config, stop_signal()?)).await
    }
}

/// Resolves at SIGTERM or SIGINT.
#[cfg(unix)]
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

/// Resolves at Ctrl-C.
#[cfg(not(unix))]
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
