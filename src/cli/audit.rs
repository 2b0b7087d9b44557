//! `chancery audit …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{DatabaseArgs, output, serve::stop_signal};
use crate::{
    app::{self, ExportTo, Exported},
    domain::audit::{AuditEvent, AuditFilter, AuditKind},
    error::Error,
    service::{Admin, Service},
    time::Timestamp,
};

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// List audit events, newest first.
    List(List),
    /// Write all audit events into a file, oldest first: one JSON object per line, as `audit list` can print them.
    ///
    /// The file appears only when it is complete, and only its owner can read it. Run this before events are deleted by
    /// the setting `audit_retention_days`.
    Export(Export),
}

#[derive(Args, Debug)]
pub(super) struct List {
    /// Show only events of this kind, such as `SIGNED_IN`.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Show only what this user, client or `command` did.
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// Show only what was done to this user, client, role or key.
    #[arg(long, value_name = "WHOM")]
    subject: Option<String>,
    /// Show at most this many events.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
    /// Print JSON, one object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Args, Debug)]
pub(super) struct Export {
    /// File to write, which must not exist; - for standard output.
    file: PathBuf,
    /// Only events at this time or later, such as 2030-01-01T00:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    after: Option<Timestamp>,
    /// Only events before this time.
    #[arg(long, value_name = "INSTANT")]
    before: Option<Timestamp>,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Audit {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run().await,
            Self::Export(export) => export.run().await,
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let Self { kind, actor, subject, limit, json, database } = self;
        let unknown = |text: &str| anyhow::anyhow!("--kind: {text:?} is not a kind of audit event");
        let kind = kind.map(|text| AuditKind::parse(&text).ok_or_else(|| unknown(&text))).transpose()?;
        let service = database.open_service().await?;
        let (actor, subject) = (subject_of(&service, actor).await?, subject_of(&service, subject).await?);
        let filter = AuditFilter { kind, actor, subject, ..AuditFilter::default() };
        let events = service.audit.list(&Admin::command(), &filter, None, limit).await?;
        if json {
            return events.iter().try_for_each(|event| output::json(&message(event)));
        }
        let row = |e: &AuditEvent| {
            vec![
                e.at.to_string(),
                e.kind.as_str().to_owned(),
                e.actor.name.clone(),
                e.actor.address.clone(),
                e.subject.clone(),
                e.details.to_string(),
            ]
        };
        let rows: Vec<_> = events.iter().map(row).collect();
        output::table(&["AT", "KIND", "ACTOR", "FROM", "SUBJECT", "DETAILS"], &rows)
    }
}

impl Export {
    async fn run(self) -> anyhow::Result<()> {
        let Self { file, after, before, database } = self;
        if let (Some(after), Some(before)) = (after, before)
            && after >= before
        {
            anyhow::bail!("--before must be later than --after");
        }
        let service = database.open_service().await?;
        let export = service.audit.export(&Admin::command(), after, before);
        let to = if file.as_os_str() == "-" { ExportTo::Stdout } else { ExportTo::File(file.clone()) };
        let line = |event: &AuditEvent| output::compact_json(&message(event));
        let (Exported { events, last }, export) = match to {
            ExportTo::File(_) => app::export_audit(export, &to, line, stop_signal()?).await?,
            // Its reader may be slow: a signal ends the process as usual.
            ExportTo::Stdout => app::export_audit(export, &to, line, std::future::pending()).await?,
        };
        if let Some(at) = export.incomplete_before() {
            output::note(&format!("the events before {at} had been deleted already"));
        }
        let up_to = last.map_or_else(String::new, |(id, at)| format!(", up to {id} of {at}"));
        match to {
            ExportTo::File(path) => output::line(&format!("exported {events} events to {}{up_to}", path.display())),
            // Standard output is for the events.
            ExportTo::Stdout => {
                output::note(&format!("exported {events} events{up_to}"));
                Ok(())
            }
        }
    }
}

/// Events name users by their subject: the subject of the user with this login, or the name as it is.
async fn subject_of(service: &Service, name: Option<String>) -> anyhow::Result<Option<String>> {
    let Some(name) = name else { return Ok(None) };
    match service.users.get(&Admin::command(), &name).await {
        Ok(view) => Ok(Some(view.user.subject)),
        Err(Error::NotFound(..) | Error::Precondition(_)) => Ok(Some(name)),
        Err(other) => Err(other.into()),
    }
}

/// An event as a `chancery.v1.AuditEvent` in JSON.
fn message(event: &AuditEvent) -> Value {
    json!({
        "event_id": event.id,
        "event_time": event.at.to_string(),
        "kind": output::constant("AUDIT_EVENT_KIND", event.kind.as_str()),
        "refused": event.kind.is_refusal(),
        "actor": event.actor.name,
        "client_id": event.actor.client,
        "address": event.actor.address,
        "subject": event.subject,
        "session_id": event.session,
        "details_json": event.details.to_string(),
    })
}
