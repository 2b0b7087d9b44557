//! `chancery config …` and `chancery settings …`.

use clap::Subcommand;
use serde_json::json;

use super::{Place, output};
use crate::app::{Config, config::Settings};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration and report every problem at once.
    Check {
        #[command(flatten)]
        place: Place,
    },
    /// Show the effective configuration, without secrets.
    Show {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SettingsCommand {
    /// Change a setting: `access_token_lifetime_ceiling`, `refresh_grace`, `rotation_period`, `confirm_within` (all
    /// in seconds), `sessions_per_user`, `rsa_bits` (of new keys), or a limit on guessing.
    Set {
        /// Name of the setting.
        name: String,
        /// New value.
        value: String,
        #[command(flatten)]
        place: Place,
    },
}

impl ConfigCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check { place } => {
                place.config(Settings::default(), false)?;
                output::line("the configuration is valid")
            }
            Self::Show { place } => {
                let config: Config = place.config(Settings::default(), false)?;
                let database = config.location()?.to_string();
                let mut shown = json!({
                    "data_dir": config.data_dir, "database": database, "grpc": config.grpc, "http": config.http,
                    "telemetry": config.telemetry, "issuer": config.issuer, "log": config.log,
                    "hashing_threads": config.hashing.threads, "hashing_queue": config.hashing.queue,
                    "hashing_memory_mib": config.hashing.memory_kib / 1024,
                    "sealing_key": config.sealing_key.map(|_| "set"), "sealing_key_file": config.sealing_key_file,
                });
                if let (Some(all), Some(mail)) = (shown.as_object_mut(), config.mail.shown.as_object()) {
                    all.extend(mail.clone());
                }
                output::line(&serde_json::to_string_pretty(&shown)?)
            }
        }
    }
}

impl SettingsCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self::Set { name, value, place } = self;
        let settings = place.service().await?.setting_set(&name, &value).await?;
        output::line(&serde_json::to_string_pretty(&settings)?)
    }
}
