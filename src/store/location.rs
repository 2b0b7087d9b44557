//! Where the database is.

use std::{path::PathBuf, str::FromStr};

use sqlx::postgres::PgConnectOptions;

use super::backup;
use crate::error::Result;

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// A `postgres://` URL. It may contain a password, and is never printed whole.
    Postgres(DatabaseUrl),
}

/// A database URL. It prints without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL including the password, for connecting.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The files of certificates and keys that it names, each with the parameter.
    #[must_use]
    pub fn files(&self) -> Vec<(&str, PathBuf)> {
        const NAMES: [&str; 7] = ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];
        let parameters = self.0.split_once('?').map_or("", |(_, rest)| rest).split('&');
        let pairs = parameters.filter_map(|parameter| parameter.split_once('='));
        // A value may be the certificate itself, and a file's name is rarely one that must be escaped.
        let files =
            pairs.filter(|(name, value)| NAMES.contains(name) && !value.contains(['%', '+']) && !value.is_empty());
        files.filter(|(_, value)| !value.starts_with("-----")).map(|(name, value)| (name, value.into())).collect()
    }

    /// The URL for PostgreSQL's own tools, without the password and without parameters that only this server knows.
    #[must_use]
    pub fn without_password(&self) -> String {
        backup::url_for_tools(&self.0)
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_string())
    }
}

impl std::fmt::Display for DatabaseUrl {
    /// The URL without user, password and parameters.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let after = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let host = after.rsplit_once('@').map_or(after, |(_, host)| host);
        write!(f, "postgres://{}", host.split('?').next().unwrap_or(""))
    }
}

impl std::fmt::Display for Location {
    /// The path, or the URL without secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl Location {
    /// Parses `postgres://…`, `postgresql://…` or `sqlite:PATH`.
    ///
    /// # Errors
    /// A description of what is accepted.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            // The error must not quote the URL, which may contain a password.
            PgConnectOptions::from_str(url).map_err(|_| "is not a valid postgres:// URL".to_owned())?;
            return Ok(Self::Postgres(DatabaseUrl(url.to_owned())));
        }
        match url.strip_prefix("sqlite:") {
            Some(path) if !path.trim_start_matches('/').is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err("must begin with postgres:// or sqlite:".to_owned()),
        }
    }
}
