//! The command line, one file per group of commands. Imports `app` and `service`, never `store`.

mod audit;
mod clients;
mod config;
mod guard;
mod issuer;
mod keys;
mod migrate;
mod output;
mod password;
mod roles;
mod serve;
mod sessions;
mod token;
mod users;

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use clap::{Args, Parser, Subcommand};

use crate::app::{self, Config, Purpose, config::LogFormat, config::Settings, machine::Machine};

/// Sign users and services in over gRPC, and issue JWTs that any service verifies offline.
#[derive(Debug, Parser)]
#[command(name = "chancery", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Serve),
    /// Create and administer users.
    #[command(subcommand)]
    User(users::User),
    /// Register and administer clients.
    #[command(subcommand)]
    Client(clients::Client),
    /// Create roles and assign them to users.
    #[command(subcommand)]
    Role(roles::Role),
    /// Read the audit log.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// List, rotate and revoke signing keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// List and end sessions.
    #[command(subcommand)]
    Session(sessions::Session),
    /// Change the settings that all servers share.
    #[command(subcommand)]
    Settings(config::SettingsCommand),
    /// Change the issuer.
    #[command(subcommand)]
    Issuer(issuer::Issuer),
    /// Bring the database's schema up to date.
    Migrate(migrate::Migrate),
    /// Check access tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Run a verifier beside a service, for proxies and for services in any language.
    Guard(guard::Guard),
    /// Check and show the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// Where the database is. Every command takes these.
#[derive(Args, Debug, Default)]
struct Place {
    /// Directory of the database and the sealing key [default: chancery-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Database, `postgres://…` or `sqlite:PATH` [default: chancery.db in the data directory]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// File with the sealing key [default: sealing.key in the data directory]
    #[arg(long, value_name = "FILE")]
    sealing_key_file: Option<PathBuf>,
    /// TOML configuration file
    #[arg(long, value_name = "FILE", env = "CHANCERY_CONFIG")]
    config: Option<PathBuf>,
}

impl Place {
    /// File, variables and flags, in that order.
    fn settings(&self, flags: Settings) -> anyhow::Result<Settings> {
        let file = self.config.as_deref().map(Settings::from_file).transpose()?.unwrap_or_default();
        let variables = Settings::from_variables(std::env::vars())?;
        let place = Settings {
            data_dir: self.data_dir.clone(),
            database: self.database.clone(),
            sealing_key_file: self.sealing_key_file.clone(),
            ..flags
        };
        Ok(file.overridden_by(variables).overridden_by(place))
    }

    /// The checked configuration of a server on this machine.
    fn config(&self, flags: Settings, dev: bool) -> anyhow::Result<Config> {
        check(self.settings(flags)?, dev, Machine::here())
    }

    /// The checked configuration of a command, which may run elsewhere than the server.
    fn command_config(&self) -> anyhow::Result<Config> {
        check(self.settings(Settings::default())?.without_mail(), false, Machine::of_a_command())
    }

    /// The service on the database, for a command.
    async fn service(&self) -> anyhow::Result<crate::service::Service> {
        let config = self.command_config()?;
        app::init_logs("warn", LogFormat::Text)?;
        app::open(&config, Purpose::Command).await
    }
}

fn check(settings: Settings, dev: bool, machine: Machine) -> anyhow::Result<Config> {
    match Config::check(settings, dev, machine) {
        Ok(config) => Ok(config),
        Err(problems) => bail!("the configuration is invalid:\n  {}", problems.join("\n  ")),
    }
}

/// Parses the command line and runs it: exit code 0 if it did, 1 if it failed, 2 for wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::failure(&error.into()),
    };
    match runtime.block_on(run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failure(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(c) => Box::pin(c.run()).await,
        Command::User(c) => c.run().await,
        Command::Client(c) => c.run().await,
        Command::Role(c) => c.run().await,
        Command::Audit(c) => c.run().await,
        Command::Keys(c) => c.run().await,
        Command::Session(c) => c.run().await,
        Command::Settings(c) => c.run().await,
        Command::Issuer(c) => c.run().await,
        Command::Migrate(c) => c.run().await,
        Command::Token(c) => c.run().await,
        Command::Guard(c) => c.run().await,
        Command::Config(c) => c.run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_kid_may_begin_with_a_hyphen() {
        for line in [["--data-dir", "d", "-qkR"], ["-qkR", "--data-dir", "d"]] {
            let all = ["chancery", "keys", "revoke"].into_iter().chain(line);
            assert!(Cli::try_parse_from(all).is_ok(), "{line:?}");
        }
    }
}
