//! `chancery backup` and `chancery restore`.

use std::{
    future::Future,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Args;

use super::{DatabaseArgs, output, serve::stop_signal};
use crate::{
    app::{self, BackedUp, Bounds, Restored, config::LogFormat},
    time::{Timestamp, Ttl},
};

/// Copy an SQLite database into one file, beside running servers, and check the copy.
///
/// The file appears only when it is complete. It contains everything but the sealing key, without which it is of no
/// use: keep a copy of the key elsewhere. For PostgreSQL, the command prints the line for `pg_dump`.
#[derive(Args, Debug)]
pub(super) struct Backup {
    /// File to write. It must not exist.
    file: PathBuf,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Restore an SQLite database from a backup, where there is none.
///
/// The backup and the sealing key are checked first. For PostgreSQL, the command prints the line for `pg_restore`.
#[derive(Args, Debug)]
pub(super) struct Restore {
    /// File that `chancery backup` wrote.
    file: PathBuf,
    /// End all sessions: otherwise those that were ended after the backup are alive again.
    #[arg(long)]
    end_sessions: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Args, Debug)]
pub(super) struct Limit {
    /// Give up after this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
}

/// What a database that went back does not know of.
pub(super) const START_WITH_EVERY_KEY: &str = "start servers with every sealing key that has been in use since the backup, \
    beside those that it needs: without one, who refreshed under it is signed out";

impl Backup {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.database.command_config()?;
        app::init_logs("warn", LogFormat::Text)?;
        let bounds = self.limit.bounds();
        let done = until_stopped(app::back_up(&config, &self.file, &bounds), &bounds).await?;
        let BackedUp { database, bytes, contents, fingerprints, key, unrecorded } = done;
        output::line(&format!(
            "backed up {} to {}: {bytes} bytes, checked; issuer: {}, users: {}, sessions: {}",
            database.display(),
            self.file.display(),
            contents.issuer,
            contents.users,
            contents.sessions
        ))?;
        output::line(&match fingerprints.as_slice() {
            [in_use, older @ ..] if !older.is_empty() => format!(
                "the sealing keys {in_use}, which is in use, and {}, which is still needed, are not in it, and without them \
                 the backup is of no use: keep copies of them elsewhere; {key}",
                older.join(", ")
            ),
            only => format!(
                "the sealing key {} is not in it, and without it the backup is of no use: keep a copy of it elsewhere; {key}",
                only.join(", ")
            ),
        })?;
        if let Some(why) = unrecorded {
            output::note(&format!("the audit log does not mention this backup: {why}"));
        }
        Ok(())
    }
}

impl Restore {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.database.command_config()?;
        app::init_logs("warn", LogFormat::Text)?;
        let bounds = self.limit.bounds();
        let done =
            until_stopped(Box::pin(app::restore(&config, &self.file, self.end_sessions, &bounds)), &bounds).await?;
        let Restored { database, contents, fingerprints, missing, ended, raw } = done;
        let made = contents.copied_at.map_or_else(|| "at an unknown time".to_owned(), |t: Timestamp| t.to_string());
        output::line(&format!(
            "restored {} from {}, made {made}; issuer: {}, users: {}, sessions: {}; sealing key: {}",
            database.display(),
            self.file.display(),
            contents.issuer,
            contents.users,
            contents.sessions,
            fingerprints.join(", ")
        ))?;
        if !missing.is_empty() {
            output::note(&format!(
                "no server starts without {} as well: name that key by another --sealing-key-file, or drop its version with \
                 `chancery sealing-key drop`",
                missing.join(", ")
            ));
        }
        output::note(START_WITH_EVERY_KEY);
        if self.end_sessions {
            output::line(&format!("sessions ended: {ended}"))?;
        } else {
            output::note(
                "sessions that were ended after the backup are alive again; to end all, restore with --end-sessions",
            );
        }
        output::note(
            "whatever was disabled, revoked or changed after the backup is as it was before: users, clients, \
             passwords, secrets, signing keys",
        );
        if raw {
            output::note(
                "the file was not made by `chancery backup`: if the server ran while it was copied, the newest \
                 changes are missing, and nothing can tell which",
            );
        }
        Ok(())
    }
}

impl Limit {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds { stop: Arc::new(AtomicBool::new(false)), within: Ttl::from_secs(i64::from(self.timeout)) }
    }
}

/// Tells the work to stop at a signal, and waits until it has cleaned up.
pub(super) async fn until_stopped<T>(
    work: impl Future<Output = anyhow::Result<T>>,
    bounds: &Bounds,
) -> anyhow::Result<T> {
    let signal = stop_signal()?;
    let mut work = Box::pin(work);
    tokio::select! {
        done = &mut work => done,
        () = signal => {
            bounds.stop.store(true, Ordering::Relaxed);
            work.await
        }
    }
}
