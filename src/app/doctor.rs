//! `chancery doctor`: looks at everything that a deployment stands on, and says what is wrong with it. Changes nothing.

mod database;
mod issuer;
mod replicas;
mod sealing;

use std::path::PathBuf;

use chancery_guard::listener::{Protocol, Tls};

use super::{config::Config, machine::Machine};
use crate::{
    service::{Service, StartError},
    time::{Clock, SystemClock},
};

/// How much of the memory that a process may use its hashing may take before there is a warning: five tenths.
const HASHING_TENTHS: u64 = 5;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Good,
    /// To be looked at.
    Warning,
    /// To be mended.
    Problem,
}

impl Level {
    /// Its word, for people and for scripts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// What was seen of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub about: &'static str,
    /// What was seen, as a sentence without an end, and what to do about it.
    pub what: String,
}

impl Finding {
    /// Of a setting that no server would take.
    #[must_use]
    pub fn of_setting(problem: String) -> Self {
        Self::problem("settings", problem)
    }

    fn good(about: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Good, about, what: what.into() }
    }

    fn warning(about: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Warning, about, what: what.into() }
    }

    fn problem(about: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Problem, about, what: what.into() }
    }
}

/// The files by which the issuer is asked, in PEM.
#[derive(Clone, Debug, Default)]
pub struct IssuerTrust {
    /// The authorities that its certificate is checked against, in place of the system's.
    pub ca: Option<PathBuf>,
    /// A certificate, and its private key, for an issuer that asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Looks at the deployment of a server with this configuration, whose service may have failed to open.
pub async fn examine(config: &Config, service: anyhow::Result<Service>, trust: IssuerTrust) -> Vec<Finding> {
    let mut findings = vec![hashing(config, Machine::detect())];
    findings.extend(certificates(config));
    findings.push(mail(config).await);
    match service {
        Ok(service) => {
            findings.extend(of_service(config, &service, trust).await);
            service.store().close().await;
        }
        Err(error) => {
            let about = match error.downcast_ref::<StartError>() {
                Some(error) if error.is_about_the_sealing_key() => sealing::ABOUT,
                _ => "database",
            };
            findings.push(Finding::problem(about, format!("{error:#}")));
            findings.extend(database::disk(config));
            if let Some(issuer) = &config.listen.issuer {
                findings.push(issuer::answers(issuer, &trust).await);
            }
        }
    }
    findings
}

async fn of_service(config: &Config, service: &Service, trust: IssuerTrust) -> Vec<Finding> {
    let mut findings = database::examine(config, service).await;
    findings.extend(sealing::examine(service).await);
    findings.push(replicas::examine(service).await);
    findings.extend(issuer::examine(service, trust).await);
    findings
}

fn hashing(config: &Config, machine: Machine) -> Finding {
    let (threads, needs) = (config.hashing.threads, u64::from(config.hashing.memory_mib));
    let said = format!("{threads} threads, and at most {needs} MiB of memory");
    let Some(limit) = machine.memory.map(|bytes| bytes >> 20) else {
        return Finding::good("hashing", format!("{said}; this process has no limit on its memory"));
    };
    let of = format!("{said} of the {limit} MiB that this process may use");
    if needs * 10 > limit * HASHING_TENTHS {
        let what = format!("{of}: little is left for everything else; lower hashing_memory_mib, or raise the limit");
        return Finding::warning("hashing", what);
    }
    Finding::good("hashing", of)
}

fn certificates(config: &Config) -> Vec<Finding> {
    let now = SystemClock.now().seconds();
    let mut findings = Vec::new();
    for (name, files) in config.tls.named() {
        match Tls::load(files.clone(), Protocol::Http) {
            Err(error) => findings.push(Finding::problem("certificates", error.to_string())),
            Ok(tls) => {
                let status = tls.status();
                let expired = status.expires_at <= now || now < status.valid_from;
                let warnings = tls.warnings(now);
                let good = warnings.is_empty().then(|| {
                    let days = (status.expires_at - now) / 86400;
                    let cert = files.cert.display();
                    Finding::good("certificates", format!("{cert} of the {name} listener is good for {days} days"))
                });
                let of = if expired { Finding::problem } else { Finding::warning };
                findings.extend(warnings.into_iter().map(|warning| of("certificates", format!("{name}: {warning}"))));
                findings.extend(good);
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::good("certificates", "no listener has TLS of its own"));
    }
    findings
}

async fn mail(config: &Config) -> Finding {
    let Some(server) = config.mail.as_ref().and_then(|mail| mail.server.as_ref()) else {
        let what = "no mail server is set (mail_smtp): nobody can verify an address or reset a password by mail";
        return Finding::warning("mail", what);
    };
    match server.try_out().await {
        Ok(()) => {
            Finding::good("mail", format!("{} answers, and accepts the password if there is one", server.relay()))
        }
        Err(why) => Finding::problem("mail", format!("{}: {why}", server.relay())),
    }
}
