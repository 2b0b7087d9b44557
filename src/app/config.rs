//! Configuration: a TOML file, `CHANCERY_…` variables, flags, in that order.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::{hashing, machine::Machine, mail};
use crate::{passwords, secret::ClientSecret as SecretText, store::Location};

/// How logs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people to read.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Everything that can be configured, each item optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Directory of the database and the sealing key.
    pub data_dir: Option<PathBuf>,
    /// Database: `postgres://…` or `sqlite:PATH`.
    pub database: Option<String>,
    /// File with the sealing key.
    pub sealing_key_file: Option<PathBuf>,
    /// Address of the gRPC listener.
    pub grpc: Option<String>,
    /// Address of the HTTP listener.
    pub http: Option<String>,
    /// Address of the telemetry listener.
    pub telemetry: Option<String>,
    /// Issuer URL by which verifiers know this server.
    pub issuer: Option<String>,
    /// Log filter, as `tracing` directives.
    pub log: Option<String>,
    /// Log format: `text` or `json`.
    pub log_format: Option<LogFormat>,
    /// Listen beyond loopback without TLS, behind a proxy that terminates TLS.
    pub plaintext_beyond_loopback: Option<bool>,
    /// Passwords hashed at once; by default as many as there are cores.
    pub hashing_threads: Option<u32>,
    /// Sign-ins that may wait to be hashed; by default about two seconds' worth.
    pub hashing_queue: Option<u32>,
    /// Memory for hashing, in MiB; by default what the threads need.
    pub hashing_memory_mib: Option<u32>,
    /// Mail server: `smtps://host:465`, `smtp://host:587` with STARTTLS, or `smtp+plain://127.0.0.1:25` on loopback.
    pub mail_smtp: Option<String>,
    /// Sender of mails: `no-reply@example.org`, or a name followed by the address in angle brackets.
    pub mail_from: Option<String>,
    /// User name for the mail server, if it asks for one.
    pub mail_username: Option<String>,
    /// File with the password for the mail server.
    pub mail_password_file: Option<PathBuf>,
    /// File with the CA certificates (PEM) to trust for the mail server, instead of the system's.
    pub mail_ca_file: Option<PathBuf>,
    /// Directory of templates that replace the built-in ones.
    pub mail_templates: Option<PathBuf>,
    /// Never read from a file: the password at the mail server.
    #[serde(skip)]
    pub mail_password: Option<String>,
    /// Never read from a file: the sealing key itself.
    #[serde(skip)]
    pub sealing_key: Option<String>,
    /// Never read from a file: whether to bring an older schema on PostgreSQL up to date.
    #[serde(skip)]
    pub migrate: bool,
}

impl Settings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// A sentence that names the file, and the key that is wrong.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not a valid configuration", path.display()))
    }

    /// Reads `CHANCERY_…` variables.
    ///
    /// # Errors
    /// Names a variable that is not known.
    pub fn from_variables(variables: impl Iterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let mut out = Self::default();
        for (name, value) in variables {
            let Some(key) = name.strip_prefix("CHANCERY_") else { continue };
            match key {
                "DATA_DIR" => out.data_dir = Some(value.into()),
                "DATABASE" => out.database = Some(value),
                "SEALING_KEY_FILE" => out.sealing_key_file = Some(value.into()),
                "SEALING_KEY" => out.sealing_key = Some(value),
                "GRPC" => out.grpc = Some(value),
                "HTTP" => out.http = Some(value),
                "TELEMETRY" => out.telemetry = Some(value),
                "ISSUER" => out.issuer = Some(value),
                "LOG" => out.log = Some(value),
                "HASHING_THREADS" => out.hashing_threads = Some(number(&name, &value)?),
                "HASHING_QUEUE" => out.hashing_queue = Some(number(&name, &value)?),
                "HASHING_MEMORY_MIB" => out.hashing_memory_mib = Some(number(&name, &value)?),
                "MAIL_SMTP" => out.mail_smtp = Some(value),
                "MAIL_FROM" => out.mail_from = Some(value),
                "MAIL_USERNAME" => out.mail_username = Some(value),
                "MAIL_PASSWORD_FILE" => out.mail_password_file = Some(value.into()),
                "MAIL_PASSWORD" => out.mail_password = Some(value),
                "MAIL_CA_FILE" => out.mail_ca_file = Some(value.into()),
                "MAIL_TEMPLATES" => out.mail_templates = Some(value.into()),
                "PLAINTEXT_BEYOND_LOOPBACK" => {
                    let flag = value.parse().map_err(|_| anyhow::anyhow!("{name} must be true or false"))?;
                    out.plaintext_beyond_loopback = Some(flag);
                }
                "LOG_FORMAT" => {
                    let format = <LogFormat as clap::ValueEnum>::from_str(&value, true);
                    out.log_format = Some(format.map_err(|_| anyhow::anyhow!("{name} must be text or json"))?);
                }
                // Variables of the test scripts and of the verifier share the prefix.
                _ if key.starts_with("TEST_") || key.starts_with("WYCHEPROOF_") || key == "CONFIG" => {}
                _ => bail!("{name} is not a setting"),
            }
        }
        Ok(out)
    }

    /// These settings, with those of `over` in their place where they are set.
    #[must_use]
    pub fn overridden_by(self, over: Self) -> Self {
        Self {
            data_dir: over.data_dir.or(self.data_dir),
            database: over.database.or(self.database),
            sealing_key_file: over.sealing_key_file.or(self.sealing_key_file),
            grpc: over.grpc.or(self.grpc),
            http: over.http.or(self.http),
            telemetry: over.telemetry.or(self.telemetry),
            issuer: over.issuer.or(self.issuer),
            log: over.log.or(self.log),
            log_format: over.log_format.or(self.log_format),
            plaintext_beyond_loopback: over.plaintext_beyond_loopback.or(self.plaintext_beyond_loopback),
            hashing_threads: over.hashing_threads.or(self.hashing_threads),
            hashing_queue: over.hashing_queue.or(self.hashing_queue),
            hashing_memory_mib: over.hashing_memory_mib.or(self.hashing_memory_mib),
            mail_smtp: over.mail_smtp.or(self.mail_smtp),
            mail_from: over.mail_from.or(self.mail_from),
            mail_username: over.mail_username.or(self.mail_username),
            mail_password_file: over.mail_password_file.or(self.mail_password_file),
            mail_ca_file: over.mail_ca_file.or(self.mail_ca_file),
            mail_templates: over.mail_templates.or(self.mail_templates),
            mail_password: over.mail_password.or(self.mail_password),
            sealing_key: over.sealing_key.or(self.sealing_key),
            migrate: over.migrate || self.migrate,
        }
    }
}

impl Settings {
    /// These settings for a process that sends no mail: it needs neither the files nor the password.
    #[must_use]
    pub fn without_mail(self) -> Self {
        Self {
            mail_smtp: None,
            mail_from: None,
            mail_username: None,
            mail_password_file: None,
            mail_ca_file: None,
            mail_templates: None,
            mail_password: None,
            ..self
        }
    }
}

fn number(name: &str, value: &str) -> anyhow::Result<u32> {
    value.parse().map_err(|_| anyhow::anyhow!("{name} must be a whole number"))
}

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Whether this is the demo.
    pub dev: bool,
    /// Where the database and the sealing key are.
    pub data_dir: PathBuf,
    /// The database, if it is not in the data directory.
    pub database: Option<String>,
    /// The file with the sealing key.
    pub sealing_key_file: Option<PathBuf>,
    /// The sealing key itself.
    pub sealing_key: Option<SecretText>,
    /// The gRPC listener.
    pub grpc: SocketAddr,
    /// The HTTP listener.
    pub http: SocketAddr,
    /// The telemetry listener.
    pub telemetry: SocketAddr,
    /// The issuer asked for.
    pub issuer: Option<String>,
    /// What is logged.
    pub log: String,
    /// How logs look.
    pub log_format: LogFormat,
    /// How passwords are hashed.
    pub hashing: passwords::Settings,
    /// How mails are sent.
    pub mail: mail::Plan,
    /// Whether an older schema on PostgreSQL is brought up to date at start.
    pub migrate: bool,
}

const GRPC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);
const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const TELEMETRY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

impl Config {
    /// Checks settings and fills in defaults, for a process on this machine.
    ///
    /// # Errors
    /// Every problem, one a line.
    pub fn check(settings: Settings, dev: bool, machine: Machine) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut address = |key: &str, text: Option<&String>, default: SocketAddr| {
            text.map_or(default, |text| {
                text.parse().unwrap_or_else(|_| {
                    problems.push(format!("{key}: {text:?} is not an address and port such as {default}"));
                    default
                })
            })
        };
        let grpc = address("grpc", settings.grpc.as_ref(), GRPC);
        let http = address("http", settings.http.as_ref(), HTTP);
        let telemetry = address("telemetry", settings.telemetry.as_ref(), TELEMETRY);
        let open: Vec<&str> = [("grpc", grpc), ("http", http), ("telemetry", telemetry)]
            .into_iter()
            .filter(|(_, a)| !a.ip().is_loopback())
            .map(|(key, _)| key)
            .collect();
        if let Some(first) = open.first() {
            if dev {
                problems.push(format!("{first}: --dev listens on loopback only, because its passwords are public"));
            } else if settings.plaintext_beyond_loopback != Some(true) {
                problems.push(format!(
                    "{first}: listening beyond loopback without TLS needs --plaintext-beyond-loopback, behind a proxy \
                     that terminates TLS"
                ));
            } else if !settings.issuer.as_ref().is_some_and(|i| i.starts_with("https://")) {
                problems.push("issuer: listening beyond loopback needs --issuer https://…".to_owned());
            }
        }
        if let Some(problem) = settings.issuer.as_deref().and_then(issuer_problem) {
            problems.push(format!("issuer: {problem}"));
        }
        if let Some(Err(problem)) = settings.database.as_deref().map(Location::parse) {
            problems.push(format!("database: {problem}"));
        }
        let hashing = hashing::plan(&settings, machine, &mut problems);
        let mail = mail::Plan::read(&settings, dev, &mut problems);
        let default_dir = if dev { "chancery-dev" } else { "chancery-data" };
        let config = Self {
            dev,
            data_dir: settings.data_dir.unwrap_or_else(|| default_dir.into()),
            database: settings.database,
            sealing_key_file: settings.sealing_key_file,
            sealing_key: settings.sealing_key.map(SecretText::new),
            grpc,
            http,
            telemetry,
            issuer: settings.issuer,
            log: settings.log.unwrap_or_else(|| "info".to_owned()),
            log_format: settings.log_format.unwrap_or_default(),
            hashing,
            mail,
            migrate: settings.migrate,
        };
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// Where the database is.
    ///
    /// # Errors
    /// Never for a checked configuration.
    pub fn location(&self) -> anyhow::Result<Location> {
        let own = || Ok(Location::Sqlite(self.data_dir.join("chancery.db")));
        self.database
            .as_deref()
            .map_or_else(own, |url| Location::parse(url).map_err(|e| anyhow::anyhow!("database: {e}")))
    }

    /// The issuer of an empty database: derived only on loopback.
    #[must_use]
    pub fn default_issuer(&self) -> Option<String> {
        self.http.ip().is_loopback().then(|| format!("http://{}", self.http))
    }
}

/// What is wrong with an issuer, if anything: an `https` URL without query or fragment (RFC 8414 §2);
/// `http` only on loopback.
pub(crate) fn issuer_problem(issuer: &str) -> Option<&'static str> {
    let parsed = issuer.parse::<http::Uri>().ok();
    let Some((scheme, host)) = parsed.as_ref().and_then(|u| Some((u.scheme_str()?, u.host()?))) else {
        return Some("must be a URL such as https://id.example.com");
    };
    let loopback =
        host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match scheme {
        _ if issuer.contains(['?', '#', '@']) => Some("must not contain a query, a fragment or a user"),
        "https" => None,
        "http" if loopback => None,
        _ => Some("must begin with https:// (http:// is for loopback only)"),
    }
}

#[cfg(test)]
mod tests;
