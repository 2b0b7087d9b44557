//! `chancery migrate`.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::{DatabaseArgs, output};
use crate::app::{self, MigrationPlan, MigrationStep, SchemaCheck, TimeTaken, config::LogFormat};

/// Bring the database's schema up to date: all missing migrations, or none if one fails.
#[derive(Args, Debug)]
pub(super) struct Migrate {
    /// Change nothing, and say what would happen: what each missing migration does, which tables it locks and how many rows
    /// they have, how long it takes, and which binaries may run afterwards. Exit code 1 if something is missing.
    ///
    /// On SQLite, the migrations are rehearsed on a copy beside the database, if there is room for it; the copy is removed.
    #[arg(long)]
    check: bool,
    /// Print JSON.
    #[arg(long, requires = "check")]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Migrate {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.database.command_config()?;
        app::init_logs("warn", LogFormat::Text)?;
        if !self.check {
            return output::line(&Box::pin(app::migrate(&config)).await?);
        }
        let check = Box::pin(app::check_schema(&config)).await?;
        if self.json {
            output::json(&check_json(&check))?;
        }
        match check {
            SchemaCheck::Current { says, .. } if !self.json => output::line(&says),
            SchemaCheck::Current { .. } => Ok(()),
            SchemaCheck::Empty { says } => bail!("{says}"),
            SchemaCheck::Older { plan, says } => {
                if !self.json {
                    output::line(plan_text(&plan).trim_end())?;
                }
                bail!("{says}")
            }
        }
    }
}

/// What an operator reads.
fn plan_text(plan: &MigrationPlan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        step_text(&mut text, step);
    }
    for line in [time(plan), beside(plan)] {
        text.push_str(&line);
        text.push('\n');
    }
    if let Some(bytes) = plan.copied {
        let _ = writeln!(text, "first, the database is copied beside itself: {} MiB", bytes.div_ceil(1 << 20));
    }
    if plan.deleted_names > 0 {
        let _ = writeln!(text, "user names that will be deleted because they are addresses: {}", plan.deleted_names);
    }
    text
}

fn step_text(text: &mut String, step: &MigrationStep) {
    let _ = writeln!(text, "{} {}: {}", step.version, step.name, step.does);
    for held in &step.tables {
        let _ = write!(text, "    {} (rows: {})", held.table, held.rows);
        // SQLite has one lock for all.
        if let Some(lock) = held.lock {
            let wait = if held.blocks == "nothing" { "waits" } else { "wait" };
            let _ = write!(text, ": {} {wait} ({lock})", held.blocks);
        }
        text.push('\n');
    }
}

fn time(plan: &MigrationPlan) -> String {
    let seconds = |t: crate::time::Ttl| format!("{}.{} s", t.millis() / 1000, t.millis() % 1000 / 100);
    let holds = if plan.copied.is_some() {
        "nobody else can write meanwhile, reads go on"
    } else {
        "every lock is held until all is done; before, up to 60 s may pass in waiting for locks, and others queue behind"
    };
    match &plan.time {
        TimeTaken::Rehearsed(took) => format!("rehearsed on a copy: {}; {holds}", seconds(*took)),
        TimeTaken::Estimated(took) => format!("estimated by the numbers of rows: {}; {holds}", seconds(*took)),
        TimeTaken::Failed(why) => format!("the rehearsal on a copy FAILED, and so would the migration: {why}"),
        TimeTaken::Unknown(why) => format!("how long it takes is not known: {why}; {holds}"),
    }
}

fn beside(plan: &MigrationPlan) -> String {
    let may = if plan.runs_beside { "may go on beside this release" } else { "must be stopped first" };
    format!(
        "afterwards, binaries {} may run (min_binary {}); servers that run now {may}",
        plan.binaries, plan.min_binary
    )
}

/// The same for scripts.
fn check_json(check: &SchemaCheck) -> Value {
    match check {
        SchemaCheck::Current { schema, .. } => json!({ "current": true, "schema": schema }),
        SchemaCheck::Empty { .. } => json!({ "current": false }),
        SchemaCheck::Older { plan, .. } => plan_json(plan),
    }
}

fn plan_json(plan: &MigrationPlan) -> Value {
    let tables = |step: &MigrationStep| -> Vec<Value> {
        let held = step.tables.iter();
        held.map(|h| json!({ "table": h.table, "rows": h.rows, "lock": h.lock, "blocks": h.blocks })).collect()
    };
    let migrations: Vec<Value> = plan
        .steps
        .iter()
        .map(|s| json!({ "version": s.version, "name": s.name, "does": s.does, "tables": tables(s) }))
        .collect();
    let (rehearsed, estimated, failed, unknown) = match &plan.time {
        TimeTaken::Rehearsed(took) => (Some(took.millis()), None, None, None),
        TimeTaken::Estimated(took) => (None, Some(took.millis()), None, None),
        TimeTaken::Failed(why) => (None, None, Some(why), None),
        TimeTaken::Unknown(why) => (None, None, None, Some(why)),
    };
    json!({
        "current": false,
        "schema": plan.have,
        "wanted": plan.want,
        "migrations": migrations,
        "rehearsed_ms": rehearsed,
        "estimated_ms": estimated,
        "rehearsal_failed": failed,
        "time_unknown": unknown,
        "copied_bytes": plan.copied,
        "deleted_names": plan.deleted_names,
        "min_binary": plan.min_binary,
        "binaries": plan.binaries,
        "runs_beside": plan.runs_beside,
    })
}
