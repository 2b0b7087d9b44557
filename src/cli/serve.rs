//! `chancery serve`.

use std::net::SocketAddr;

use clap::Args;
use tokio::sync::watch;

use super::{DatabaseArgs, checked, listed};
use crate::app::{
    self, Config, Declaration, ServeOptions, Signals,
    config::{Draft, ServerFlags},
    machine::Machine,
};

/// Run the server.
#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    arguments: ServeArgs,
}

/// The arguments of `serve`, which `config check` and `config show` take too.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct ServeArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Run a demo with well-known passwords, on loopback, in ./chancery-dev
    #[arg(long)]
    dev: bool,
    /// Let the demo listen beyond loopback, where everybody who reaches it knows its passwords: in a container, or a
    /// network of your own
    #[arg(long)]
    dev_anywhere: bool,
    /// Make a throwaway certificate in the data directory and use it for all listeners; for development, with --dev
    #[arg(long)]
    tls: bool,
    /// Stand in front of an application, such as <http://127.0.0.1:5000>, at <http://localhost:8000>; for development,
    /// with --dev
    #[arg(long, value_name = "URL")]
    app: Option<String>,
    /// Listener in front of the application, on loopback [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    app_listen: Option<SocketAddr>,
    #[command(flatten)]
    flags: ServerFlags,
    /// Migrate an older schema on PostgreSQL; SQLite is copied and migrated with or without this flag
    #[arg(long)]
    migrate: bool,
    /// Make the sealing key of an empty PostgreSQL database, in the data directory; refused on SQLite, whose key is
    /// made anyway
    #[arg(long)]
    create_sealing_key: bool,
}

impl ServeArgs {
    fn draft(&self) -> Draft {
        let mut draft = self.database.draft();
        draft.read_server_flags(&self.flags);
        draft
    }

    /// The configuration with everything checked that a server refuses before it opens the database.
    pub(super) fn config(&self) -> anyhow::Result<(Config, Option<Declaration>)> {
        self.read().map_err(|problems| listed("cannot serve as configured", &problems))
    }

    /// The same, with every problem by itself.
    pub(super) fn read(&self) -> Result<(Config, Option<Declaration>), Vec<String>> {
        let Self { dev, tls, dev_anywhere, migrate, create_sealing_key, app_listen, .. } = *self;
        let app = self.app.clone();
        let options = ServeOptions { dev, tls, dev_anywhere, migrate, create_sealing_key, app, app_listen };
        app::server_config(self.draft(), options, Machine::detect())
    }

    /// The configuration, whether or not this machine has the database and its key.
    pub(super) fn settings(&self) -> anyhow::Result<Config> {
        let mut draft = self.draft();
        if self.dev_anywhere {
            draft.let_demo_listen_anywhere();
        }
        checked(draft.for_server(self.dev, Machine::detect()))
    }
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        // First of all: a signal that comes earlier ends the process.
        let signals = signals()?;
        let (config, apply) = self.arguments.config()?;
        app::init_logs(&config.log.filter, config.log.format)?;
        Box::pin(app::serve(config, apply, signals)).await
    }
}

/// Resolves at SIGTERM or SIGINT. SIGHUP, which would end the process by default, is ignored.
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
                _ = hangup.recv() => {}
            }
        }
    })
}

/// Counts SIGTERM and SIGINT, and SIGHUP, for as long as somebody listens.
#[cfg(unix)]
pub(super) fn signals() -> anyhow::Result<Signals> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let ((stop, stops), (reload, reloads)) = (watch::channel(0), watch::channel(0));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => stop.send_modify(|told| *told += 1),
                _ = int.recv() => stop.send_modify(|told| *told += 1),
                _ = hangup.recv() => {
                    tracing::info!("SIGHUP: certificates are read again; other settings are read at the start only");
                    reload.send_modify(|told| *told += 1);
                }
            }
        }
    });
    Ok(Signals { stops, reloads })
}

/// Counts Ctrl-C.
#[cfg(not(unix))]
pub(super) fn signals() -> anyhow::Result<Signals> {
    let ((stop, stops), (_, reloads)) = (watch::channel(0), watch::channel(0));
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            stop.send_modify(|told| *told += 1);
        }
    });
    Ok(Signals { stops, reloads })
}

/// Resolves at Ctrl-C.
#[cfg(not(unix))]
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
