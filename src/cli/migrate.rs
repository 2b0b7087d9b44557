//! `chancery migrate`.

use anyhow::bail;
use clap::Args;

use super::{Place, output};
use crate::app::{self, config::LogFormat};

/// Bring the database's schema up to date.
#[derive(Args, Debug)]
pub(super) struct Migrate {
    /// Only report whether the schema is up to date; exit code 1 if it is not.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    place: Place,
}

impl Migrate {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.place.command_config()?;
        app::init_logs("warn", LogFormat::Text)?;
        let (told, current) = app::migrate(&config, self.check).await?;
        if current { output::line(&told) } else { bail!("{told}") }
    }
}
