//! What of the connection to PostgreSQL is encrypted and checked, and what to do about a certificate that is refused.

use std::{fmt, net::IpAddr};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// What protects the connection to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseTls {
    /// It does not leave this machine: a socket or the loopback address.
    Local,
    /// It is not encrypted.
    Plain,
    /// It is encrypted if the server can, and anybody may pose as the server.
    Opportunistic,
    /// It is encrypted, and anybody may pose as the server.
    Unchecked,
    /// The certificate must be of a known authority, for whatever name.
    Authority,
    /// The certificate must be of a known authority and for the server's name.
    Full,
}

impl DatabaseTls {
    pub(super) fn of(options: &PgConnectOptions, names_authority: bool) -> Self {
        match options.get_ssl_mode() {
            PgSslMode::VerifyFull => Self::Full,
            PgSslMode::VerifyCa => Self::Authority,
            // As PostgreSQL's own programs do.
            PgSslMode::Require if names_authority => Self::Authority,
            _ if is_local(options) => Self::Local,
            PgSslMode::Require => Self::Unchecked,
            PgSslMode::Prefer => Self::Opportunistic,
            PgSslMode::Disable | PgSslMode::Allow => Self::Plain,
        }
    }

    /// Whether somebody on the way could read along or pose as the server.
    #[must_use]
    pub const fn is_open_to_others(self) -> bool {
        matches!(self, Self::Plain | Self::Opportunistic | Self::Unchecked | Self::Authority)
    }
}

impl fmt::Display for DatabaseTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "stays on this machine",
            Self::Plain => "not encrypted",
            Self::Opportunistic => "encrypted if the server offers it; its certificate is not checked",
            Self::Unchecked => "encrypted; the server's certificate is not checked",
            Self::Authority => "encrypted; the certificate's authority is checked, its name is not",
            Self::Full => "encrypted; the server's certificate is checked",
        })
    }
}

/// Whether the server is on this machine.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What to do about a failed handshake.
pub(super) fn advice(error: &sqlx::Error, tls: DatabaseTls) -> Option<String> {
    let (sqlx::Error::Tls(_) | sqlx::Error::Io(_)) = error else { return None };
    let text = error.to_string();
    let has = |words: &str| text.contains(words);
    let what = if has("CaUsedAsEndEntity") {
        "the server's certificate is one of an authority (CA:TRUE), which no server may show; make another with \
         `openssl req -x509 … -addext basicConstraints=critical,CA:FALSE`, or have one signed by that authority, and name \
         the file with sslrootcert"
    } else if has("UnknownIssuer") {
        "the server's certificate is of no authority that is known here; name the file with the authority's certificate, \
         or the server's own if it is self-signed, with sslrootcert"
    } else if has("not valid for name") || has("NotValidForName") {
        "the server's certificate is for another name than the one in the URL; use the name in the certificate"
    } else if has("certificate expired") || has("Expired") {
        "the server's certificate has expired"
    } else if has("UnsupportedCertVersion") {
        "the server's certificate is of an old version (X.509 v1); make another with `openssl req -x509 … -addext \
         basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:…`"
    } else if has("does not support TLS") {
        "the server does not offer TLS; set `ssl = on` there, or sslmode=disable if nobody else is on the way"
    } else {
        return None;
    };
    Some(format!("{what} (the connection is to be {tls})"))
}
