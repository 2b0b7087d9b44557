//! `chancery user import`.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::rows::{FileRow, Format, Rows};
use crate::{
    cli::{DatabaseArgs, output},
    error::Violation,
    service::{Admin, CostlyHashes, DryRun, ImportOutcome, ImportRow, MAX_IMPORT_BATCH, Service},
};

/// Maximum size of the attributes in a batch, as text in bytes; parsed, they take up to a hundred times as much.
const MAX_BATCH_BYTES: usize = 256 * 1024;
/// Maximum number of refused rows to print.
const MAX_PRINTED: u64 = 20;

#[derive(Args, Debug)]
pub(in crate::cli) struct Import {
    /// File of users, .jsonl or .csv; - for standard input.
    file: PathBuf,
    /// Format of the file [default: by its extension]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Only report what would happen to each row.
    #[arg(long)]
    dry_run: bool,
    /// File for the rows that are refused, as JSON, one object per line.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Import {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<()> {
        let format = self.format.map_or_else(|| format_of(&self.file), Ok)?;
        let (input, bar) = open(&self.file)?;
        let mut rows = Rows::new(input, format).with_context(|| format!("cannot read {}", self.file.display()))?;
        let report = self.report.as_deref().map(create).transpose()?;
        let service = self.database.open_service().await?;
        let mut run = Run { service, rehearsal: self.dry_run.then(DryRun::default), report, counts: Counts::default() };
        let done = run.import(&mut rows, &bar).await;
        bar.finish_and_clear();
        // After a failure, the report still contains the rows refused before it.
        run.report.as_mut().map_or(Ok(()), Write::flush)?;
        let counts = run.counts;
        done.with_context(|| format!("stopped after {counts}; run it again to continue"))?;
        if self.json {
            // As a `chancery.v1.ImportUsersResponse`.
            let CostlyHashes { count, most } = counts.costly;
            let if_any = |n: u64| (count > 0).then_some(n);
            let message = json!({
                "created": counts.created,
                "present": counts.present,
                "refused": counts.refused,
                "costly_hashes": if_any(count),
                "hash_memory_mib": if_any(most.memory_mib()),
                "hash_times": if_any(most.times),
            });
            output::json(&message)?;
        } else {
            output::line(&format!("{}{counts}", if self.dry_run { "dry run: " } else { "" }))?;
            note_costs(&counts.costly);
        }
        if counts.refused > 0 {
            bail!("{} rows were refused; correct them and run it again", counts.refused);
        }
        Ok(())
    }
}

fn format_of(file: &Path) -> anyhow::Result<Format> {
    match file.extension().and_then(|e| e.to_str()) {
        Some("jsonl" | "ndjson") => Ok(Format::Jsonl),
        Some("csv") => Ok(Format::Csv),
        _ => bail!("cannot tell the format from the file name; add --format jsonl or --format csv"),
    }
}

/// The size of a row's attributes as text.
fn attribute_bytes(row: &FileRow) -> anyhow::Result<usize> {
    Ok(row.read.as_ref().map_or(Ok(0), |row| serde_json::to_string(&row.attributes).map(|text| text.len()))?)
}

/// Opens the file, with a progress bar for reading it. Standard input has no progress bar.
fn open(path: &Path) -> anyhow::Result<(Box<dyn BufRead>, ProgressBar)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(BufReader::new(std::io::stdin())), ProgressBar::hidden()));
    }
    let cannot = || format!("cannot open {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    let bar = ProgressBar::new(file.metadata().with_context(cannot)?.len());
    let style = "{bar:30} {percent:>3} %  {msg}  {elapsed_precise}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    Ok((Box::new(BufReader::new(bar.wrap_read(file))), bar))
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    Ok(BufWriter::new(File::create(path).with_context(|| format!("cannot create {}", path.display()))?))
}

#[derive(Debug, Default)]
struct Counts {
    created: u64,
    present: u64,
    refused: u64,
    costly: CostlyHashes,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} created, {} already present, {} refused", self.created, self.present, self.refused)
    }
}

/// Says what the imported hashes cost, and what that means.
fn note_costs(CostlyHashes { count, most }: &CostlyHashes) {
    if *count == 0 {
        return;
    }
    let memory = match most.memory_mib() {
        0 => String::new(),
        mib => format!(
            " One that needs much memory waits until hashing_memory_mib has room for it, which must be at least {mib} on all servers."
        ),
    };
    output::note(&format!(
        "hashes that cost more than Chancery's own: {count}. Each takes up to {most}.{memory} Each is replaced when its user \
         first signs in"
    ));
}

/// An import in progress.
struct Run {
    service: Service,
    rehearsal: Option<DryRun>,
    report: Option<BufWriter<File>>,
    counts: Counts,
}

impl Run {
    async fn import<R: BufRead>(&mut self, rows: &mut Rows<R>, bar: &ProgressBar) -> anyhow::Result<()> {
        loop {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < MAX_IMPORT_BATCH
                && bytes < MAX_BATCH_BYTES
                && let Some(row) = rows.next()?
            {
                bytes += attribute_bytes(&row)?;
                batch.push(row);
            }
            if batch.is_empty() {
                return Ok(());
            }
            self.import_batch(batch).await?;
            bar.set_message(self.counts.to_string());
        }
    }

    async fn import_batch(&mut self, batch: Vec<FileRow>) -> anyhow::Result<()> {
        let (mut good, mut lines) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for FileRow { line, subject, read } in batch {
            let read = read.map(|row| good.push(row));
            lines.push((line, subject, read));
        }
        let outcomes = self.write_or_rehearse(&good).await?;
        let created = good.iter().zip(&outcomes).filter(|(_, outcome)| matches!(outcome, ImportOutcome::Created));
        created.for_each(|(row, _)| self.counts.costly.add(row));
        let mut outcomes = outcomes.into_iter();
        for (line, subject, read) in lines {
            let outcome = read.map_or_else(|v| Some(ImportOutcome::Refused(v)), |()| outcomes.next());
            match outcome {
                Some(ImportOutcome::Created) => self.counts.created += 1,
                Some(ImportOutcome::Present) => self.counts.present += 1,
                Some(ImportOutcome::Refused(violations)) => self.refuse(line, &subject, &violations)?,
                None => bail!("a row of the batch has no outcome"),
            }
        }
        Ok(())
    }

    async fn write_or_rehearse(&mut self, rows: &[ImportRow]) -> anyhow::Result<Vec<ImportOutcome>> {
        Ok(match &mut self.rehearsal {
            Some(rehearsal) => self.service.import.dry_run(&Admin::command(), rows, rehearsal).await?,
            None => self.service.import.write(&Admin::command(), rows).await?,
        })
    }

    fn refuse(&mut self, line: u64, subject: &str, violations: &[Violation]) -> anyhow::Result<()> {
        self.counts.refused += 1;
        if let Some(report) = &mut self.report {
            let wrong: Vec<_> =
                violations.iter().map(|v| json!({ "field": v.field, "description": v.description })).collect();
            writeln!(report, "{}", json!({ "line": line, "subject": subject, "violations": wrong }))?;
        }
        if self.counts.refused > MAX_PRINTED {
            if self.counts.refused == MAX_PRINTED + 1 && self.report.is_none() {
                output::note("more rows were refused; --report FILE lists all of them");
            }
            return Ok(());
        }
        for violation in violations {
            let who = if subject.is_empty() { String::new() } else { format!(" ({subject:?})") };
            output::note(&format!("line {line}{who}: {} {}", violation.field, violation.description));
        }
        Ok(())
    }
}
