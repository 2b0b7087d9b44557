//! `chancery sealing-key …`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{DatabaseArgs, output};
use crate::{
    app,
    service::{Admin, Resealed, Rotated, VersionListed},
};

#[derive(Debug, Subcommand)]
pub(super) enum SealingKey {
    /// Make a sealing key, for a new database or a rotation: 32 random bytes, in base64url. Every server on the database
    /// needs it, and so does every backup: keep a copy of it, apart from those.
    Generate {
        /// File to write, for its owner only. It must not exist [default: print the key]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the versions of the sealing key, and which running servers lack one.
    List {
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Bring the next version into use, once every running server holds it, and seal all rows again. Nobody is signed out.
    ///
    /// Run it again if it was interrupted, or leave the rest to the servers: they look for such rows every hour.
    Rotate {
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Drop a version that nothing needs any more. Its file can be removed everywhere afterwards.
    Drop {
        /// The version, as `list` shows it.
        // Not `version`: that is the flag that every command has.
        #[arg(value_name = "VERSION")]
        number: i64,
        /// Drop it at once, as when it was stolen: end the sessions that still depend on it, and void links and codes.
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

impl SealingKey {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let admin = Admin::command();
        match self {
            Self::Generate { out } => generate(out),
            Self::List { json, database } => {
                let versions = database.open_service().await?.sealing.list(&admin).await?;
                if json {
                    return versions.iter().try_for_each(|version| output::json(&version_json(version)));
                }
                let rows: Vec<_> = versions.iter().map(row).collect();
                output::table(&["VERSION", "FINGERPRINT", "STATE", "SINCE", "LACKED BY"], &rows)
            }
            Self::Rotate { database } => rotate(&database).await,
            Self::Drop { number, now, database } => {
                let sealing = &database.open_service().await?.sealing;
                let dropped = if now {
                    sealing.drop_now(&admin, number).await?
                } else {
                    sealing.drop_unneeded(&admin, number).await?
                };
                if dropped.forgotten {
                    return output::line(&format!(
                        "version {number} of the sealing key is forgotten: it was never used, as far as this database knows. If the \
                         database was restored, and that key was in use since the backup, give it to the servers again: \
                         what was made with it would be refused"
                    ));
                }
                output::line(&format!(
                    "version {number} of the sealing key is dropped; sessions ended: {}, links and codes void: {}",
                    dropped.sessions, dropped.tickets
                ))
            }
        }
    }
}

fn generate(out: Option<PathBuf>) -> anyhow::Result<()> {
    let made = app::generate_sealing_key(out.as_deref())?;
    match out {
        None => output::line(&made),
        Some(path) => output::line(&format!("{} holds a new sealing key, {}", path.display(), *made)),
    }
}

async fn rotate(database: &DatabaseArgs) -> anyhow::Result<()> {
    let sealing = &database.open_service().await?.sealing;
    match sealing.rotate(&Admin::command()).await? {
        Some(Rotated { from, to }) => output::line(&format!(
            "version {to} of the sealing key is in use; what was made with version {from} stays valid until that is dropped"
        ))?,
        None => output::line("there is no next version; sealing again what an earlier rotation has left")?,
    }
    let Resealed { rows, left } = sealing.reseal().await?;
    output::line(&format!("rows sealed again: {rows}"))?;
    if left > 0 {
        output::note(&format!(
            "{left} rows are sealed under a version that this command does not hold; run it again with that key, or leave it \
             to the servers"
        ));
    }
    Ok(())
}

fn row(version: &VersionListed) -> Vec<String> {
    vec![
        version.version.to_string(),
        version.fingerprint.clone(),
        version.state.as_str().to_owned(),
        version.since.to_string(),
        version.lacking(),
    ]
}

fn version_json(version: &VersionListed) -> serde_json::Value {
    json!({
        "version": version.version,
        "fingerprint": version.fingerprint,
        "state": output::constant("SEALING_KEY_STATE", &version.state.as_str().replace(' ', "_")),
        "since": version.since.to_string(),
        "lacked_by": version.lacked_by,
    })
}
