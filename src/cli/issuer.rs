//! `chancery issuer …`.

use anyhow::bail;
use clap::Subcommand;

use super::{DatabaseArgs, output};
use crate::{app::config::issuer_problem, service::Admin};

#[derive(Debug, Subcommand)]
pub(super) enum Issuer {
    /// Change the issuer: makes new signing keys and ends every session. Stop all servers first.
    /// Also run it after copying a database to another environment.
    Set {
        /// Issuer URL by which verifiers will know the server.
        url: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

impl Issuer {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self::Set { url, database } = self;
        if let Some(problem) = issuer_problem(&url) {
            bail!("<URL>: {problem}");
        }
        let ended = database.open_service().await?.instance.set_issuer(&Admin::command(), &url).await?;
        output::line(&format!(
            "the issuer is now {url}; {ended} sessions ended; update the verifiers, then start the servers"
        ))
    }
}
