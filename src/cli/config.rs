//! `chancery config …`.

use clap::Subcommand;

use super::{output, serve::ServeArgs};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration and report every problem at once: all that `serve` with the same arguments would refuse
    /// before it opens the database and its listeners.
    Check(ServeArgs),
    /// Show the effective configuration, without secrets.
    Show(ServeArgs),
}

impl ConfigCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check(arguments) => {
                let (config, _) = arguments.config()?;
                output::line("the configuration is valid")?;
                config.browser.untranslated().iter().try_for_each(|line| output::line(line))
            }
            Self::Show(arguments) => {
                let config = arguments.settings()?;
                output::line(&serde_json::to_string_pretty(&config.shown)?)
            }
        }
    }
}
