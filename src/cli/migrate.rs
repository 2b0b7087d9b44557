//! `chancery migrate`.

use anyhow::bail;
use clap::Args;

use super::{DatabaseArgs, output};
use crate::app::{self, config::LogFormat};

/// Bring the database's schema up to date.
#[derive(Args, Debug)]
pub(super) struct Migrate {
    /// Only report whether the schema is up to date; exit code 1 if it is not.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Migrate {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.database.command_config()?;
        app::init_logs("warn", LogFormat::Text)?;
        let (report, current) = app::migrate(&config, self.check).await?;
        if current { output::line(&report) } else { bail!("{report}") }
    }
}
