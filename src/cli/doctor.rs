//! `chancery doctor`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::{output, serve::ServeArgs};
use crate::app::{self, Finding, IssuerTrust, Level, Purpose, config::LogFormat};

/// Look at everything that a server stands on, and say what is wrong with it.
///
/// Takes the settings of `serve`, and runs beside it. Exit code 1 if there is a problem. Changes nothing.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    #[command(flatten)]
    arguments: ServeArgs,
    /// Authorities (PEM) to check the issuer's certificate against, in place of the system's
    #[arg(long, value_name = "FILE")]
    issuer_ca: Option<PathBuf>,
    /// Certificate (PEM) to present to an issuer that asks for one
    #[arg(long, value_name = "FILE", requires = "issuer_key")]
    issuer_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "issuer_cert")]
    issuer_key: Option<PathBuf>,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        // What is wrong is among the findings.
        app::init_logs("off", LogFormat::Text)?;
        let findings = match self.arguments.read() {
            Ok((config, _)) => {
                let trust = IssuerTrust { ca: self.issuer_ca, client: self.issuer_cert.zip(self.issuer_key) };
                let service = Box::pin(app::open(&config, Purpose::Command)).await;
                Box::pin(app::examine(&config, service, trust)).await
            }
            // What a server would refuse, among it a database that cannot be written.
            Err(problems) => problems.into_iter().map(Finding::of_setting).collect(),
        };
        for Finding { level, about, what } in &findings {
            if self.json {
                output::json(&json!({ "level": level.as_str(), "about": about, "what": what }))?;
            } else {
                output::line(&format!("{:8} {about:13} {what}", level.as_str()))?;
            }
        }
        let problems = findings.iter().filter(|finding| finding.level == Level::Problem).count();
        if problems > 0 {
            bail!("{problems} problems were found");
        }
        Ok(())
    }
}
