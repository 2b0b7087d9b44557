//! `chancery apply` and `chancery export`.

use std::{fs::File, io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;

use super::{DatabaseArgs, listed, output};
use crate::app::{self, Declaration};

/// Make the database what a file declares: settings, audiences, roles, clients and first users.
#[derive(Args, Debug)]
pub(super) struct Apply {
    /// TOML file with `[settings]`, `[[audience]]`, `[[role]]`, `[[client]]` and `[[user]]`.
    file: PathBuf,
    /// Only say what differs; exit code 2 if anything does.
    #[arg(long)]
    dry_run: bool,
    /// Take away what an applied file named and this one names no more: clients are disabled, roles deleted, settings
    /// get their defaults.
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Print a file that declares what the database has, without secrets and users.
#[derive(Args, Debug)]
pub(super) struct Export {
    /// Write it to a new file instead.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Apply {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { file, dry_run, prune, database } = self;
        let declaration =
            Declaration::read(&file).map_err(|problems| listed("the file cannot be applied", &problems))?;
        let service = database.open_service().await?;
        let plan = app::plan(&service, &declaration, prune).await?;
        for note in plan.notes() {
            output::note(note);
        }
        if plan.is_empty() {
            if !dry_run {
                app::apply(&service, &declaration, prune, plan).await?;
            }
            return output::line("nothing differs");
        }
        plan.lines().iter().try_for_each(|line| output::line(line))?;
        let summary = plan.summary();
        if dry_run {
            output::line(&format!("{summary}; nothing was changed"))?;
            return Err(output::Differs.into());
        }
        let done = app::apply(&service, &declaration, prune, plan).await?;
        output::line(&format!("{summary}; {}", app::changes_made(done)))
    }
}

impl Export {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let service = self.database.open_service().await?;
        let text = app::export(&service).await?;
        let Some(path) = self.out else { return output::line(text.trim_end()) };
        let cannot = || format!("cannot write {}", path.display());
        let mut file = File::create_new(&path).with_context(cannot)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(cannot)?;
        output::line(&format!("written to {}", path.display()))
    }
}
