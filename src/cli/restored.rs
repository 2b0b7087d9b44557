//! `chancery restored`.

use clap::Args;

use super::{
    DatabaseArgs,
    backup::{Limit, START_WITH_EVERY_KEY, until_stopped},
    output,
};
use crate::app::{self, config::LogFormat};

/// Prepare a database that other tools have restored, before servers run on it: those of PostgreSQL, or a snapshot of a
/// disk.
///
/// Verifiers start over with what is in the database now, and new sessions get bits in new status lists. `chancery
/// restore` does the same by itself.
#[derive(Args, Debug)]
pub(super) struct Restored {
    /// End all sessions: otherwise those that were ended after the backup are alive again.
    #[arg(long)]
    end_sessions: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Restored {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.database.command_config()?;
        app::init_logs("warn", LogFormat::Text)?;
        let bounds = self.limit.bounds();
        let settling = Box::pin(app::settle_restored(&config, self.end_sessions, &bounds));
        let (ended, keys) = until_stopped(settling, &bounds).await?;
        let location = &config.database.location;
        output::line(&format!("{location} is ready for servers; sealing key: {}", keys.join(", ")))?;
        output::note(START_WITH_EVERY_KEY);
        if self.end_sessions {
            output::line(&format!("sessions ended: {ended}"))
        } else {
            output::note(
                "sessions that were ended after the backup are alive again; to end all, run this with --end-sessions",
            );
            Ok(())
        }
    }
}
