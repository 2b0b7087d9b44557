//! Where the database is.

use std::{path::PathBuf, str::FromStr};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::{backup, tls::DatabaseTls, url_parameters::Parameters};
use crate::error::{Error, Result};

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// A `postgres://` URL. It may contain a password, and is never printed whole.
    Postgres(DatabaseUrl),
}

/// A database URL. It prints without user, password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    fn parse(url: &str) -> Result<Self, String> {
        // No error may quote the URL, which may contain a password.
        if url.contains('#') {
            return Err("has a `#`, which a URL writes as %23".to_owned());
        }
        let (authority, path) = parts(url);
        if path.contains('@') {
            return Err(
                "has an `@` after the host; the name of a database writes it as %40, and a password with a `/` \
                        before it writes that as %2F"
                    .to_owned(),
            );
        }
        if authority.ends_with('@') {
            return Err(
                "has a user without a host; for a Unix socket write postgres:///DATABASE?host=/FOLDER&user=USER, \
                        or USER:PASSWORD@localhost before the `/`"
                    .to_owned(),
            );
        }
        let parameters = Parameters::of(url)?;
        let parsed = Self(url.to_owned());
        let options = parsed.bare_options(&parameters).map_err(|_| {
            "is not a valid postgres:// URL; a user name or password with one of / ? # : @ % writes it as %2F, %3F, \
             %23, %3A, %40, %25"
                .to_owned()
        })?;
        let checks = matches!(options.get_ssl_mode(), PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull);
        if parameters.names_authority() && !checks {
            return Err("has sslrootcert, which does nothing without sslmode=verify-full".to_owned());
        }
        Ok(parsed)
    }

    /// The whole URL including the password, for connecting.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL for PostgreSQL's own tools, without the password and without parameters.
    #[must_use]
    pub fn without_password(&self) -> String {
        backup::url_for_tools(&self.0)
    }

    /// Whether it has parameters.
    #[must_use]
    pub fn has_parameters(&self) -> bool {
        self.0.contains('?')
    }

    /// Whether it has parameters that PostgreSQL quotes when it refuses a connection.
    pub(super) fn names_startup_parameters(&self) -> bool {
        self.parameters().is_ok_and(|parameters| parameters.are_told_to_the_server())
    }

    /// What protects the connection.
    #[must_use]
    pub fn tls(&self) -> DatabaseTls {
        let options = self.parameters().ok().map(|parameters| (self.bare_options(&parameters), parameters));
        match options {
            Some((Ok(options), parameters)) => DatabaseTls::of(&options, parameters.names_authority()),
            // Such a URL is refused.
            _ => DatabaseTls::Plain,
        }
    }

    /// Looks into the files that its parameters name.
    ///
    /// # Errors
    /// A sentence about the first that cannot be used.
    pub fn check_files(&self) -> Result<(), String> {
        self.parameters()?.check_files()
    }

    fn parameters(&self) -> Result<Parameters<'_>, String> {
        Parameters::of(&self.0)
    }

    /// How to connect. Looks into the files that are named.
    pub(super) fn options(&self) -> Result<PgConnectOptions> {
        let parameters = self.parameters().map_err(Error::Precondition)?;
        self.check_files().map_err(Error::Precondition)?;
        for name in parameters.ignored() {
            tracing::warn!(parameter = name, "this parameter of the database URL is not supported and does nothing");
        }
        let options = self.bare_options(&parameters).map_err(|_| Error::Precondition("its URL is not valid".into()))?;
        let checked = parameters.names_authority() && matches!(options.get_ssl_mode(), PgSslMode::Require);
        let options = if checked { options.ssl_mode(PgSslMode::VerifyCa) } else { options };
        // No number with a fraction is stored, and poolers refuse this setting.
        Ok(options.extra_float_digits(None::<i8>))
    }

    fn bare_options(&self, parameters: &Parameters<'_>) -> sqlx::Result<PgConnectOptions> {
        let (base, _) = self.0.split_once('?').unwrap_or((&self.0, ""));
        PgConnectOptions::from_str(&format!("{base}?{}", parameters.supported()))
    }
}

/// What is before the first `/` of a URL, and what is after it, without parameters.
fn parts(url: &str) -> (&str, &str) {
    // What follows the mark goes first: a password there may contain an `@`.
    let url = url.split('?').next().unwrap_or("");
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split_once('/').unwrap_or((rest, ""))
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_string())
    }
}

impl std::fmt::Display for DatabaseUrl {
    /// The URL without user, password and parameters.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (authority, path) = parts(&self.0);
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        write!(f, "postgres://{host}")?;
        if path.is_empty() { Ok(()) } else { write!(f, "/{path}") }
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
        // A secret that was made from a file ends as the file does.
        let url = url.trim_end_matches(['\r', '\n']);
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return DatabaseUrl::parse(url).map(Self::Postgres);
        }
        match url.strip_prefix("sqlite:") {
            Some(path) if !path.trim_start_matches('/').is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err("must begin with postgres:// or sqlite:".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Location::parse(url).unwrap_err()
    }

    #[test]
    fn a_line_break_at_the_end_is_no_part_of_it() {
        for (given, want) in [("postgres://db/id\n", "postgres://db/id"), ("sqlite:a.db\r\n", "a.db")] {
            assert_eq!(Location::parse(given).unwrap().to_string(), want);
        }
    }

    #[test]
    fn nothing_after_the_question_mark_of_a_database_url_is_printed() {
        for url in [
            "postgres://ada:canary@db/id?password=canary",
            "postgres://ada@db/id?password=x@canary",
            "postgres://db/id?sslmode=verify-full&sslkey=k&sslcert=c&sslpassword=canary@canary",
            "postgres://db/id?options=-c%20search_path%3Dcanary&application_name=canary",
        ] {
            let location = Location::parse(url).unwrap();
            let Location::Postgres(parsed) = &location else { panic!() };
            let printed = format!("{location} {location:?} {parsed} {parsed:?} {}", parsed.without_password());
            assert!(!printed.contains("canary") && !printed.contains('?'), "{printed}");
            assert!(printed.contains("postgres://db/id"), "{printed}");
        }
        // Nor by what refuses one.
        for url in [
            "postgres://ada:canary?w@db/id",
            "postgres://ada:1?canary@db/id",
            "postgres://ada:canary#w@db/id",
            "postgres://ada:canary/w@db/id",
            "postgres://ada:1/canary@db/id",
            "postgres://u:p@127.0.0.1:1/x@canary",
            "postgres://canary:canary@/db?host=/tmp",
            "postgres://db/id?canary=1",
            "postgres://db/id?sslmode=canary",
            "postgres://db/id?port=canary",
        ] {
            assert!(!refused(url).contains("canary"), "{url}");
        }
    }

    #[test]
    fn the_host_of_a_database_url_is_the_one_that_is_connected_to() {
        let shown = |url: &str| Location::parse(url).unwrap().to_string();
        assert_eq!(shown("postgres://u:p@db:1/x%40y"), "postgres://db:1/x%40y");
        assert_eq!(shown("postgres://u:p@db"), "postgres://db");
        assert!(refused("postgres://u:p@db:1/x@y").contains("%40"));
        assert!(refused("postgres://u:p@/db?host=/tmp").contains("&user=USER"));
    }

    #[test]
    fn a_parameter_that_would_do_nothing_is_refused() {
        assert!(refused("postgres://db/id?schema=x").contains("parameter 1 "));
        assert!(refused("postgres://db/id?sslmode=full").contains("verify-full"));
        assert!(refused("postgres://db/id?sslrootcert=ca.pem").contains("sslmode=verify-full"));
        assert!(refused("postgres://db/id?sslrootcert=ca.pem&sslmode=prefer").contains("sslmode=verify-full"));
        assert!(refused("postgres://db/id?sslmode=verify-full&sslcert=c.pem").contains("sslkey"));
        assert!(Location::parse("postgres://db/id?sslmode=verify-full&sslrootcert=system").is_ok());
    }

    #[test]
    fn what_of_the_connection_is_checked_is_said() {
        for (url, tls) in [
            ("postgres://db/id", DatabaseTls::Opportunistic),
            ("postgres://db/id?sslmode=disable", DatabaseTls::Plain),
            ("postgres://db/id?sslmode=allow", DatabaseTls::Plain),
            ("postgres://db/id?sslmode=require", DatabaseTls::Unchecked),
            ("postgres://db/id?sslmode=require&sslrootcert=ca.pem", DatabaseTls::Authority),
            ("postgres://db/id?sslmode=verify-ca", DatabaseTls::Authority),
            ("postgres://db/id?sslmode=verify-full", DatabaseTls::Full),
            ("postgres://127.0.0.1/id", DatabaseTls::Local),
            ("postgres://[::1]:5433/id", DatabaseTls::Local),
            ("postgres://localhost/id?sslmode=disable", DatabaseTls::Local),
            ("postgres://%2Frun%2Fpostgresql/id", DatabaseTls::Local),
            ("postgres:///id?host=/run/postgresql", DatabaseTls::Local),
        ] {
            let Location::Postgres(url) = Location::parse(url).unwrap() else { panic!() };
            assert_eq!(url.tls(), tls, "{}", url.expose());
            assert_eq!(tls.is_open_to_others(), !matches!(tls, DatabaseTls::Local | DatabaseTls::Full));
        }
    }
}
