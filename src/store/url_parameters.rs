//! What follows the `?` in the URL of a PostgreSQL database. None of it is ever printed but the names that PostgreSQL
//! itself defines: a password that contains a `?` ends up here too.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};

/// Those that have an effect.
const SUPPORTED: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Those that PostgreSQL's own programs know, and that have no effect here.
const IGNORED: [&str; 41] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkeylogfile",
    "sslnegotiation",
    "sslpassword",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "uselibpqcompat",
];

const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const AUTHORITY: [&str; 3] = ["sslrootcert", "ssl-root-cert", "ssl-ca"];
const CERTIFICATE: [&str; 2] = ["sslcert", "ssl-cert"];
const KEY: [&str; 2] = ["sslkey", "ssl-key"];
/// The value of `sslrootcert` for the usual public authorities, which are known anyway.
const PUBLIC: &str = "system";

/// The parameters of a URL.
pub(super) struct Parameters<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parameters<'a> {
    /// Those of a URL.
    ///
    /// # Errors
    /// A sentence about the first that is wrong, without what it says.
    pub(super) fn of(url: &'a str) -> Result<Self, String> {
        let (_, text) = url.split_once('?').unwrap_or((url, ""));
        let mut all = Vec::new();
        for (n, parameter) in text.split('&').filter(|p| !p.is_empty()).enumerate() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if is_supported(name) {
                all.push((name, value));
            } else if let Some(known) = IGNORED.into_iter().find(|known| *known == name) {
                all.push((known, ""));
            } else {
                return Err(format!(
                    "parameter {} after the `?` is none that PostgreSQL knows; a password with a `?` writes it as %3F",
                    n + 1
                ));
            }
        }
        let all = Self(all);
        match all.value(&["sslmode", "ssl-mode"]) {
            Some(mode) if !MODES.contains(&mode.to_ascii_lowercase().as_str()) => {
                Err(format!("sslmode must be one of {}", MODES.join(", ")))
            }
            _ if all.value(&CERTIFICATE).is_some() != all.value(&KEY).is_some() => {
                Err("sslcert and sslkey belong together: the certificate of this client and its key".to_owned())
            }
            _ => Ok(all),
        }
    }

    fn value(&self, names: &[&str]) -> Option<&'a str> {
        self.0.iter().rev().find(|(name, _)| names.contains(name)).map(|(_, value)| *value)
    }

    /// Whether the server's certificate is to be checked against an authority.
    pub(super) fn names_authority(&self) -> bool {
        self.value(&AUTHORITY).is_some()
    }

    /// Whether the server is told some of them, which it quotes when it refuses a connection.
    pub(super) fn are_told_to_the_server(&self) -> bool {
        let told = |name: &str| ["user", "dbname", "application_name"].contains(&name) || name.starts_with("options");
        self.0.iter().any(|(name, _)| told(name))
    }

    /// Those that have an effect, for the library.
    pub(super) fn supported(&self) -> String {
        let supported =
            self.0.iter().filter(|(name, value)| is_supported(name) && !(AUTHORITY.contains(name) && *value == PUBLIC));
        supported.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    /// The names of those that have none.
    pub(super) fn ignored(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| *name).filter(|name| IGNORED.contains(name))
    }

    /// Looks into the files that are named, because the library's errors do not say which one is meant.
    pub(super) fn check_files(&self) -> Result<(), String> {
        for (names, mark, what) in [
            (&AUTHORITY[..], "-----BEGIN CERTIFICATE-----", "CERTIFICATE"),
            (&CERTIFICATE[..], "-----BEGIN CERTIFICATE-----", "CERTIFICATE"),
            (&KEY[..], "PRIVATE KEY-----", "PRIVATE KEY"),
        ] {
            let (Some(name), Some(path)) = (names.first(), self.value(names).filter(|path| *path != PUBLIC)) else {
                continue;
            };
            let path = decoded(path);
            // Opening a pipe may take forever, and it is empty when a connection reads it.
            if fs::metadata(&path).is_ok_and(|m| !m.is_file()) {
                return Err(format!("what {name} in its URL names is not a regular file; each connection reads it"));
            }
            let text = fs::read_to_string(path)
                .map_err(|error| format!("the file that {name} in its URL names cannot be read: {error}"))?;
            if !text.contains(mark) {
                return Err(format!("the file that {name} in its URL names has no line {mark:?}: it must be PEM"));
            }
            if text.contains("ENCRYPTED") {
                return Err(format!(
                    "the file that {name} in its URL names is protected by a password, which is not supported; take the \
                     password away with `openssl pkey`"
                ));
            }
            if !all_are_whole(&text, what) {
                return Err(format!(
                    "the file that {name} in its URL names has a {what} that cannot be read: what is between its marks \
                     must be base64 of DER"
                ));
            }
        }
        Ok(())
    }
}

/// Whether every part of a PEM file that says to be `what` is base64 of one sequence in DER, which certificates and keys
/// are.
fn all_are_whole(text: &str, what: &str) -> bool {
    text.split("-----BEGIN ").skip(1).filter_map(|part| part.split_once("-----")).all(|(name, rest)| {
        let body = rest.split_once(&format!("-----END {name}-----")).map(|(body, _)| body);
        let packed = body.map(|body| body.split_whitespace().collect::<String>());
        let der = packed.and_then(|body| STANDARD.decode(body).ok());
        !name.ends_with(what) || der.is_some_and(|der| is_one_sequence(&der))
    })
}

/// Whether the bytes begin as a sequence in DER that is as long as they are.
fn is_one_sequence(der: &[u8]) -> bool {
    let Some((0x30, rest)) = der.split_first().map(|(tag, rest)| (*tag, rest)) else { return false };
    let Some((first, rest)) = rest.split_first() else { return false };
    let (length, content) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let Some((length, content)) = rest.split_at_checked(usize::from(first - 0x80)) else { return false };
            (length.iter().fold(0, |n, b| (n << 8) | usize::from(*b)), content)
        }
        _ => return false,
    };
    length == content.len() && length > 0
}

fn is_supported(name: &str) -> bool {
    SUPPORTED.contains(&name) || (name.starts_with("options[") && name.ends_with(']'))
}

/// A value as it was before it became part of a URL.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        let mut ahead = rest.clone();
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high * 16 + low);
                rest = ahead;
            }
            (b'+', ..) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_with_something_else_between_its_marks_is_refused_before_a_connection_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let url = format!("postgres://db/x?sslmode=verify-full&sslrootcert={}", path.display());
        let check = |body: &str| {
            fs::write(&path, format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")).unwrap();
            Parameters::of(&url).unwrap().check_files()
        };
        let der = [&[0x30, 0x81, 0x90][..], &[7; 0x90]].concat();
        assert_eq!(check(&STANDARD.encode(&der)), Ok(()));
        let garbage = ["garbage", "", "AAAA", &STANDARD.encode(&der[..100])].map(str::to_owned);
        for body in garbage {
            let error = check(&body).unwrap_err();
            assert!(error.contains("sslrootcert") && error.contains("CERTIFICATE that cannot be read"), "{error}");
        }
        fs::write(&path, "-----BEGIN CERTIFICATE-----\nMAA=\n").unwrap();
        assert!(Parameters::of(&url).unwrap().check_files().is_err());
        let url = format!("postgres://db/x?sslmode=verify-full&sslrootcert={}", dir.path().display());
        assert!(Parameters::of(&url).unwrap().check_files().unwrap_err().contains("not a regular file"));
    }
}
