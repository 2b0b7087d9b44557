//! `chancery sealing-key …`.

use std::path::PathBuf;

use clap::Subcommand;

use super::output;
use crate::app;

#[derive(Debug, Subcommand)]
pub(super) enum SealingKey {
    /// Make a sealing key for a new database: 32 random bytes, in base64url. Every server on the database needs it, and
    /// so does every backup: keep a copy of it, apart from those.
    Generate {
        /// File to write, for its owner only. It must not exist [default: print the key]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

impl SealingKey {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let Self::Generate { out } = self;
        let made = app::generate_sealing_key(out.as_deref())?;
        match out {
            None => output::line(&made),
            Some(path) => output::line(&format!("{} holds a new sealing key, {}", path.display(), *made)),
        }
    }
}
