//! `chancery health`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::bail;
use clap::Args;

use super::{DatabaseArgs, listed, output};
use crate::app;

/// Ask the server on this machine whether it is ready, for containers without other programs.
///
/// Exit code 0 if it is ready; 1, with the reason, if it is not or does not answer.
#[derive(Args, Debug)]
pub(super) struct Health {
    /// Telemetry listener of the server [default: the one that the file and the variables name]
    #[arg(long, value_name = "ADDR")]
    telemetry: Option<SocketAddr>,
    /// The listener that is named has TLS
    #[arg(long, requires = "telemetry")]
    tls: bool,
    /// Give up after this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=3600))]
    timeout: u32,
    // Not clap's own variable: one that is empty is not set.
    #[arg(long, value_name = "FILE", help = "TOML file with the settings of the server [env: CHANCERY_CONFIG]")]
    config: Option<PathBuf>,
}

impl Health {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { telemetry, tls, timeout, config } = self;
        let (telemetry, tls) = if let Some(given) = telemetry {
            (given, tls)
        } else {
            let draft = DatabaseArgs { config, ..DatabaseArgs::default() }.draft();
            draft.telemetry().map_err(|problems| listed("the configuration is invalid", &problems))?
        };
        if telemetry.port() == 0 {
            bail!("the server chooses the port of its telemetry listener; name the address with --telemetry");
        }
        output::line(&app::readiness((telemetry, tls), Duration::from_secs(timeout.into())).await?)
    }
}
