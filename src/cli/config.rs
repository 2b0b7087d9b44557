//! `chancery config …` and `chancery settings …`.

use clap::Subcommand;

use super::{DatabaseArgs, output, serve::ServeArgs};
use crate::service::Admin;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration and report every problem at once: all that `serve` with the same arguments would refuse
    /// before it opens the database and its listeners.
    Check(ServeArgs),
    /// Show the effective configuration, without secrets.
    Show(ServeArgs),
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
        database: DatabaseArgs,
    },
}

impl ConfigCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check(arguments) => {
                arguments.config()?;
                output::line("the configuration is valid")
            }
            Self::Show(arguments) => {
                let config = arguments.settings()?;
                output::line(&serde_json::to_string_pretty(&config.shown)?)
            }
        }
    }
}

impl SettingsCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self::Set { name, value, database } = self;
        let settings = database.open_service().await?.instance.set(&Admin::command(), &name, &value).await?;
        output::line(&serde_json::to_string_pretty(&settings)?)
    }
}
