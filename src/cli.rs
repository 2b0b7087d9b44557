//! The command line, one file per command group. Imports `app` and `service`, never `store`.

mod arguments;
mod audit;
mod backup;
mod clients;
mod config;
mod declared;
mod doctor;
mod guard;
mod health;
mod issuer;
mod keys;
mod migrate;
mod output;
mod password;
mod restored;
mod roles;
mod sealing_key;
mod serve;
mod sessions;
mod settings;
mod token;
mod users;

/// What a file of users may contain.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing {
    pub(crate) use super::users::rows::fuzzing::{csv_row, jsonl_row};
}

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use self::arguments::Chosen;
use crate::app::{
    self, Config, Purpose,
    config::{DatabaseFlags, Draft, FILE_VARIABLE, LogFormat},
};

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
    /// See what was done.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// List, rotate and revoke signing keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Make and list sealing keys, bring the next version into use, drop one that is not needed any more.
    #[command(subcommand, visible_alias = "sealing")]
    SealingKey(sealing_key::SealingKey),
    /// Show and end sessions.
    #[command(subcommand)]
    Session(sessions::Session),
    /// List, show and change the settings that all servers share.
    #[command(subcommand)]
    Settings(settings::Settings),
    /// Change the issuer.
    #[command(subcommand)]
    Issuer(issuer::Issuer),
    /// Make the database what a file declares: settings, audiences, roles, clients and first users.
    Apply(declared::Apply),
    /// Print a file that declares what the database has, without secrets and users.
    Export(declared::Export),
    /// Bring the database's schema up to date.
    Migrate(migrate::Migrate),
    /// Copy an SQLite database into one file, beside running servers, and check the copy.
    Backup(backup::Backup),
    /// Restore an SQLite database from a backup, where there is none.
    Restore(backup::Restore),
    /// Prepare a database that other tools have restored, before servers run on it.
    Restored(restored::Restored),
    /// Check access tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Run a verifier beside a service, for proxies and for services in any language.
    Guard(guard::Guard),
    /// Look at everything that a server stands on, and say what is wrong with it.
    Doctor(doctor::Doctor),
    /// Ask the server on this machine whether it is ready.
    Health(health::Health),
    /// Check and show the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// The arguments that select the database, shared by all commands that open it.
#[derive(Args, Debug, Default)]
struct DatabaseArgs {
    #[command(flatten)]
    flags: DatabaseFlags,
    // Not clap's own variable: one that is empty is not set.
    #[arg(long, value_name = "FILE", help = "TOML file with settings [env: CHANCERY_CONFIG]")]
    config: Option<PathBuf>,
}

impl DatabaseArgs {
    /// Reads the file, the variables and the flags, in that order.
    fn draft(&self) -> Draft {
        let mut draft = Draft::default();
        let named = std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        if let Some(path) = self.config.as_ref().or(named.as_ref()) {
            draft.read_file(path);
        }
        draft.read_variables(std::env::vars_os());
        draft.read_database_flags(&self.flags);
        draft
    }

    /// The checked configuration for a command, which may run on another machine than the server.
    fn command_config(&self) -> anyhow::Result<Config> {
        checked(self.draft().for_command())
    }

    /// Opens the service for a command.
    async fn open_service(&self) -> anyhow::Result<crate::service::Service> {
        let config = self.command_config()?;
        app::init_logs("warn", LogFormat::Text)?;
        // Boxed to keep the callers' futures small.
        Box::pin(app::open(&config, Purpose::Command)).await
    }
}

fn checked(result: Result<Config, Vec<String>>) -> anyhow::Result<Config> {
    result.map_err(|problems| listed("the configuration is invalid", &problems))
}

/// All problems, one on each line.
fn listed(what: &str, problems: &[String]) -> anyhow::Error {
    anyhow::anyhow!("{what}:\n  {}", problems.join("\n  "))
}

/// Parses and runs the command line. The exit code is 0 on success, 1 on failure, 2 for wrong usage or if a dry run finds
/// differences, and 141 if nobody reads the output any more.
#[must_use]
pub fn main() -> ExitCode {
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(answer) => return output::usage(&answer),
    };
    let chosen = Chosen::of(&matches);
    let cli = match chosen.check().and_then(|()| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(answer) => return output::usage(&answer),
    };
    make_files_private();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::failure(&error.into()),
    };
    let outcome = runtime.block_on(run(cli.command));
    // A thread that waits for a lock or a disk does not hold up the end.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failure(&chosen.in_its_terms(error)),
    }
}

/// Nobody but the owner may read what this process writes, whoever made the file: SQLite and other libraries do too.
fn make_files_private() {
    #[cfg(target_os = "linux")]
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(c) => Box::pin(c.run()).await,
        Command::User(c) => c.run().await,
        Command::Client(c) => c.run().await,
        Command::Role(c) => c.run().await,
        Command::Audit(c) => c.run().await,
        Command::Keys(c) => c.run().await,
        Command::SealingKey(c) => c.run().await,
        Command::Session(c) => c.run().await,
        Command::Settings(c) => c.run().await,
        Command::Issuer(c) => c.run().await,
        Command::Apply(c) => Box::pin(c.run()).await,
        Command::Export(c) => c.run().await,
        Command::Migrate(c) => c.run().await,
        Command::Backup(c) => Box::pin(c.run()).await,
        Command::Restore(c) => Box::pin(c.run()).await,
        Command::Restored(c) => c.run().await,
        Command::Token(c) => c.run().await,
        Command::Guard(c) => c.run().await,
        Command::Doctor(c) => Box::pin(c.run()).await,
        Command::Health(c) => c.run().await,
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
