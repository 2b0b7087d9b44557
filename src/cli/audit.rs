//! `chancery audit …`.

use clap::Subcommand;
use serde_json::json;

use super::{DatabaseArgs, output};
use crate::{
    domain::audit::{AuditEvent, AuditFilter, AuditKind},
    error::Error,
    service::{Admin, Service},
};

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// List audit events, newest first.
    List {
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
    },
}

impl Audit {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self::List { kind, actor, subject, limit, json, database } = self;
        let unknown = |text: &str| anyhow::anyhow!("--kind: {text:?} is not a kind of audit event");
        let kind = kind.map(|text| AuditKind::parse(&text).ok_or_else(|| unknown(&text))).transpose()?;
        let service = database.open_service().await?;
        let (actor, subject) = (subject_of(&service, actor).await?, subject_of(&service, subject).await?);
        let filter = AuditFilter { kind, actor, subject, ..AuditFilter::default() };
        let events = service.audit.list(&Admin::command(), &filter, None, limit).await?;
        if json {
            return events.iter().try_for_each(print);
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

/// Events name users by their subject: the subject of the user with this login, or the name as it is.
async fn subject_of(service: &Service, name: Option<String>) -> anyhow::Result<Option<String>> {
    let Some(name) = name else { return Ok(None) };
    match service.users.get(&Admin::command(), &name).await {
        Ok(view) => Ok(Some(view.user.subject)),
        Err(Error::NotFound(..) | Error::Precondition(_)) => Ok(Some(name)),
        Err(other) => Err(other.into()),
    }
}

/// Prints an event as a `chancery.v1.AuditEvent` in JSON.
fn print(event: &AuditEvent) -> anyhow::Result<()> {
    output::json(&json!({
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
    }))
}
