//! `chancery apply` and `chancery export`.

use std::{fs::File, io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;

use super::{DatabaseArgs, checked, listed, output};
use crate::{
    app::{self, Declaration, Rehearsal, config::LogFormat},
    service::Service,
};

/// Make the database what a file declares: settings, audiences, roles, clients and first users.
///
/// A database that is missing or empty is set up first, as by the first start of a server.
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
    /// URL by which verifiers know the server; fixed when the database is set up
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
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
        let Self { file, dry_run, prune, issuer, database } = self;
        let declaration =
            Declaration::read(&file).map_err(|problems| listed("the file cannot be applied", &problems))?;
        let attempt = async |service: &Service| app::plan(service, &declaration, prune).await.map(drop);
        let (service, rehearsal) = open(&database, issuer.as_deref(), dry_run, attempt).await?;
        let plan = app::plan(&service, &declaration, prune).await?;
        for note in plan.notes() {
            output::note(note);
        }
        if plan.is_empty() && rehearsal.is_none() {
            if !dry_run {
                app::apply(&service, &declaration, prune, plan).await?;
            }
            return output::line("nothing differs");
        }
        plan.lines().iter().try_for_each(|line| output::line(line))?;
        let summary = if plan.is_empty() { "nothing else differs".to_owned() } else { plan.summary() };
        if dry_run {
            output::line(&format!("{summary}; nothing was changed"))?;
            return Err(output::Differs.into());
        }
        let done = app::apply(&service, &declaration, prune, plan).await?;
        output::line(&format!("{summary}; {}", app::changes_made(done)))
    }
}

/// Opens the database. A dry run sets none up but its own, and a file that cannot be applied sets up none either.
async fn open(
    database: &DatabaseArgs,
    issuer: Option<&str>,
    dry_run: bool,
    attempt: impl AsyncFnOnce(&Service) -> anyhow::Result<()>,
) -> anyhow::Result<(Service, Option<Rehearsal>)> {
    let mut draft = database.draft();
    if let Some(issuer) = issuer {
        draft.read_issuer(issuer);
    }
    let mut config = checked(draft.for_command())?;
    app::init_logs("warn", LogFormat::Text)?;
    let location = config.database.location.to_string();
    if dry_run {
        let (service, rehearsal) = Box::pin(app::open_or_rehearse(&mut config)).await?;
        if rehearsal.is_some() {
            let issuer = service.issuer();
            output::note(&format!(
                "the database {location} is missing or empty: it would be set up for the issuer {issuer}"
            ));
        }
        return Ok((service, rehearsal));
    }
    let (service, is_new) = Box::pin(app::open_or_set_up(&mut config, attempt)).await?;
    if is_new {
        output::note(&format!(
            "the database {location} was empty, and is set up now for the issuer {}",
            service.issuer()
        ));
    }
    Ok((service, None))
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
