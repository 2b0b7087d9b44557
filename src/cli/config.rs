//! `chancery config …`.

use clap::Subcommand;

use super::{DatabaseArgs, output};
use crate::app::config::ServerFlags;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration and report every problem at once.
    Check {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        flags: ServerFlags,
    },
    /// Show the effective configuration, without secrets.
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        flags: ServerFlags,
    },
}

impl ConfigCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check { database, flags } => {
                database.server_config(&flags, false)?;
                output::line("the configuration is valid")
            }
            Self::Show { database, flags } => {
                let config = database.server_config(&flags, false)?;
                output::line(&serde_json::to_string_pretty(&config.shown)?)
            }
        }
    }
}
