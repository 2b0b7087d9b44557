//! `chancery serve`.

use clap::Args;

use super::DatabaseArgs;
use crate::app::{self, config::ServerFlags};

/// Run the server.
#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Run a demo with well-known passwords, on loopback, in ./chancery-dev
    #[arg(long)]
    dev: bool,
    #[command(flatten)]
    flags: ServerFlags,
    /// Migrate an older schema on PostgreSQL; SQLite is copied and migrated without this flag
    #[arg(long)]
    migrate: bool,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut config = self.database.server_config(&self.flags, self.dev)?;
        config.migrate = self.migrate;
        app::init_logs(&config.log.filter, config.log.format)?;
        Box::pin(app::serve(config, stop_signal()?)).await
    }
}

/// Resolves at SIGTERM or SIGINT. SIGHUP, which would end the process by default, is ignored: log rotation and service
/// managers send it to make a process reload, and nothing here needs that.
#[cfg(unix)]
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = term.recv() => return,
                _ = int.recv() => return,
                _ = hangup.recv() => tracing::info!("SIGHUP is ignored: settings are read at the start only"),
            }
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
