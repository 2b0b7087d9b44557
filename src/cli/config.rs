//! `chancery config …` and `chancery settings …`.

use clap::Subcommand;

use super::{Place, output};
use crate::{app::config::ServerFlags, service::Admin};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration and report every problem at once.
    Check {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        flags: ServerFlags,
    },
    /// Show the effective configuration, without secrets.
    Show {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        flags: ServerFlags,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SettingsCommand {
    /// Change a setting: `access_token_lifetime_ceiling`, `refresh_grace`, `rotation_period`, `confirm_within` (all
    /// in seconds), `sessions_per_user`, `rsa_bits` (of new keys), or a limit on guessing.
    Set {
        /// Which.
        name: String,
        /// To what.
        value: String,
        #[command(flatten)]
        place: Place,
    },
}

impl ConfigCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check { place, flags } => {
                place.server_config(&flags, false)?;
                output::line("the configuration is valid")
            }
            Self::Show { place, flags } => {
                let config = place.server_config(&flags, false)?;
                output::line(&serde_json::to_string_pretty(&config.shown)?)
            }
        }
    }
}

impl SettingsCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self::Set { name, value, place } = self;
        let settings = place.service().await?.instance.set(&Admin::command(), &name, &value).await?;
        output::line(&serde_json::to_string_pretty(&settings)?)
    }
}
