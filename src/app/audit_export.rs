//! Writes the audit log into a file.

use std::{
    future::Future,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use super::{
    output::printed,
    workplace::{Workplace, refuse_existing},
};
use crate::{domain::audit::AuditEvent, entropy::OsEntropy, id::AuditEventId, service::AuditExport, time::Timestamp};

/// The name of the unfinished file in its workplace.
const PART: &str = "events.jsonl";

/// Where the events go.
#[derive(Clone, Debug)]
pub enum ExportTo {
    /// A new file that only its owner can read. It appears when it is complete.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// What was exported.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// How many events.
    pub events: u64,
    /// The last one, and its time.
    pub last: Option<(AuditEventId, Timestamp)>,
}

/// Writes the events, one per line, a page at a time. A file is given up when `stop` says so; whoever writes to
/// standard output may be ended at any time.
///
/// # Errors
/// A sentence for the operator. There is no file then, and no part of one.
pub async fn export_audit(
    mut export: AuditExport,
    to: &ExportTo,
    line: fn(&AuditEvent) -> String,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<(Exported, AuditExport)> {
    let exported = match to {
        ExportTo::Stdout => {
            write_all(&mut export, line, |text| {
                let mut out = std::io::stdout().lock();
                printed(out.write_all(text).and_then(|()| out.flush()))
            })
            .await?
        }
        ExportTo::File(path) => tokio::select! {
            biased;
            // What was written is removed when the export is dropped.
            () = stop => bail!("the export was interrupted by a signal; there is no {}", path.display()),
            done = export_to_file(&mut export, path, line) => done?,
        },
    };
    Ok((exported, export))
}

async fn export_to_file(
    export: &mut AuditExport,
    path: &Path,
    line: fn(&AuditEvent) -> String,
) -> anyhow::Result<Exported> {
    refuse_existing(path)?;
    let cannot = || format!("cannot write {}", path.display());
    let place = Workplace::beside(path, "partial", &OsEntropy)?;
    let (_, mut file) = place.file(PART).with_context(cannot)?;
    let exported = write_all(export, line, |text| file.write_all(text).with_context(cannot)).await?;
    drop(file);
    place.publish(PART, path)?;
    Ok(exported)
}

async fn write_all(
    export: &mut AuditExport,
    line: fn(&AuditEvent) -> String,
    mut write: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<Exported> {
    let mut exported = Exported::default();
    loop {
        let page = export.next().await?;
        let Some(last) = page.last() else { return Ok(exported) };
        exported.events += page.len() as u64;
        exported.last = Some((last.id.clone(), last.at));
        let text: String = page.iter().map(|event| line(event) + "\n").collect();
        write(text.as_bytes())?;
    }
}
