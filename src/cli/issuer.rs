//! `chancery issuer …`.

use anyhow::bail;
use clap::Subcommand;

use super::{Place, output};
use crate::{app::config::issuer_problem, service::Admin};

#[derive(Debug, Subcommand)]
pub(super) enum Issuer {
    /// Give the deployment another issuer: new signing keys, every session ended. Stop all servers first.
    /// Also the step after copying a database for another environment.
    Set {
        /// The URL under which verifiers will know the server.
        url: String,
        #[command(flatten)]
        place: Place,
    },
}

impl Issuer {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self::Set { url, place } = self;
        if let Some(problem) = issuer_problem(&url) {
            bail!("issuer: {problem}");
        }
        let ended = place.service().await?.instance.set_issuer(&Admin::command(), &url).await?;
        output::line(&format!("the issuer is {url}; {ended} sessions ended; tell verifiers, then start the servers"))
    }
}
