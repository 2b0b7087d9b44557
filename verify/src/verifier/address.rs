//! Checks the addresses that keys and status lists are fetched from.

use reqwest::Url;

/// Why a verifier cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// An address cannot be used. It is not repeated here, because it may contain secrets.
    #[error("{setting} {problem}")]
    Address {
        /// The setting, such as `issuer`.
        setting: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Whoever is on the way to this host could replace the keys.
    #[error(
        "{setting} is at http://{host}, which is neither https nor on this machine; use \
         VerifierBuilder::plain_http_beyond_loopback if the network is protected another way"
    )]
    Plaintext {
        /// The setting, such as `issuer`.
        setting: &'static str,
        /// The host.
        host: String,
    },
    /// No token can be for an audience without a name.
    #[error("the audience must not be empty")]
    NoAudience,
    /// The files with certificates cannot be used.
    #[error("the TLS files cannot be used: {reason}")]
    TlsFiles {
        /// Why.
        reason: String,
    },
    /// The streams of a [`Watch`](crate::VerifierBuilder::watch) need a tokio runtime.
    #[error("a verifier that watches must be built within a tokio runtime")]
    NoRuntime,
}

/// The issuer's identifier (RFC 8414 §2): no query and no fragment.
pub(super) fn check_issuer(issuer: &str) -> Result<Url, SettingsError> {
    let url = check_url("issuer", issuer)?;
    if url.query().is_some() {
        return Err(SettingsError::Address { setting: "issuer", problem: "must not have a query" });
    }
    Ok(url)
}

/// An address that documents are fetched from.
pub(crate) fn check_url(setting: &'static str, text: &str) -> Result<Url, SettingsError> {
    let wrong = |problem| Err(SettingsError::Address { setting, problem });
    let has_prefix = |prefix: &str| text.get(..prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(prefix));
    if !has_prefix("https://") && !has_prefix("http://") {
        return wrong("must begin with https:// or http://");
    }
    // The parser would repair these, and then fetch from another address than the one written.
    if text.contains(|c: char| c == '\\' || c.is_whitespace() || c.is_control()) {
        return wrong("must not have blanks, control characters or backslashes");
    }
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    if rest.starts_with('/') {
        return wrong("is not a valid URL");
    }
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    if path.split('/').skip(1).any(is_dots) {
        return wrong("must not have . or .. in its path");
    }
    let Ok(url) = Url::parse(text) else { return wrong("is not a valid URL") };
    // The dot at the end of a full name is one too many for certificates, but no mistake.
    let host = url.host_str().unwrap_or_default();
    if host.strip_suffix('.').unwrap_or(host).split('.').any(str::is_empty) {
        return wrong("must have a host name without empty parts");
    }
    if url.port() == Some(0) {
        return wrong("must not have the port 0");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("must not have a user name or a password");
    }
    if url.fragment().is_some() {
        return wrong("must not have a fragment");
    }
    Ok(url)
}

/// Whether a part of a path leads to the same folder or the one above, in any spelling that the parser knows.
fn is_dots(part: &str) -> bool {
    matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

/// Refuses an address where others on the network could read or change what is sent.
pub(super) fn refuse_plaintext(setting: &'static str, url: &Url) -> Result<(), SettingsError> {
    match url.host_str().filter(|host| url.scheme() != "https" && !is_loopback(host)) {
        Some(host) => Err(SettingsError::Plaintext { setting, host: host.to_owned() }),
        None => Ok(()),
    }
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_that_is_no_clean_url_is_refused_with_the_reason() {
        for (issuer, problem) in [
            ("id.example.com", "must begin with"),
            ("", "must begin with"),
            ("ftp://id.example.com", "must begin with"),
            ("https:/id.example.com", "must begin with"),
            ("https://", "not a valid URL"),
            ("https://id.example.com:99999", "not a valid URL"),
            ("https://id.example.com ", "blanks"),
            ("https://id.example.com\n", "blanks"),
            ("https://id.example.com\\x", "backslashes"),
            ("https://ada@id.example.com", "user name"),
            ("https://:secret@id.example.com", "user name"),
            ("https://id.example.com?tenant=1", "query"),
            ("https://id.example.com?", "query"),
            ("https://id.example.com#x", "fragment"),
            ("https://id.example.com#", "fragment"),
            ("https:///id.example.com", "not a valid URL"),
            ("https://id.example.com/../x", "in its path"),
            ("https://id.example.com/x/.", "in its path"),
            ("https://id.example.com/x/%2E%2e/y", "in its path"),
            ("https://id.example.com/.%2e", "in its path"),
            ("https://id..com", "empty parts"),
            ("https://.id.example.com", "empty parts"),
            ("https://id.example.com..", "empty parts"),
            ("https://.", "empty parts"),
            ("https://id.example.com:0", "port 0"),
            ("http://127.0.0.1:0/x", "port 0"),
        ] {
            let error = check_issuer(issuer).expect_err(issuer).to_string();
            assert!(error.starts_with("issuer ") && error.contains(problem), "{issuer}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        for issuer in [
            "https://id.example.com",
            "https://id.example.com/tenant/",
            "HTTP://127.0.0.1:8080",
            "https://id.example.com./..tenant/.well",
            "https://[::1]:8443",
        ] {
            assert!(check_issuer(issuer).is_ok(), "{issuer}");
        }
        assert!(check_url("jwks_url", "https://id.example.com/keys?p=1").is_ok(), "a key set may have a query");
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for (url, good) in [
            ("https://id.example.com", true),
            ("http://localhost:8080", true),
            ("http://LOCALHOST", true),
            ("http://127.0.0.1", true),
            ("http://127.9.9.9:1", true),
            ("http://[::1]:8080", true),
            ("http://id.example.com", false),
            ("http://10.0.0.1", false),
            ("http://[fe80::1]", false),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://0.0.0.0", false),
        ] {
            assert_eq!(refuse_plaintext("issuer", &check_issuer(url).unwrap()).is_ok(), good, "{url}");
        }
    }
}
