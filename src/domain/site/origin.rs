//! The origins of pages that call this server (RFC 6454 §7, Fetch §3.2).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    default_port,
    host::{HostFault, host, is_loopback_host},
    parse_port, split_port, split_url,
};

/// The longest origin, in bytes.
const MAX_ORIGIN: usize = 255;

/// Why a text is not the origin of a page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebOriginError {
    /// It is too long.
    #[error("must be at most {MAX_ORIGIN} bytes")]
    TooLong,
    /// It stands for many origins.
    #[error("must be one exact origin such as https://app.example: there are no wildcards, name each origin")]
    Wildcard,
    /// It is the origin of whatever has none.
    #[error(
        "must be an origin such as https://app.example: pages without an origin, which send null, cannot be told apart"
    )]
    Null,
    /// It has no scheme, or another one.
    #[error("must be an origin such as https://app.example")]
    Scheme,
    /// It names a user.
    #[error("must not contain a user or password")]
    User,
    /// The host is not one.
    #[error(transparent)]
    Host(#[from] HostFault),
    /// The port is not one.
    #[error("must have a port of 1 to 65535, without leading zeros, or none")]
    Port,
    /// It has no TLS, beyond loopback.
    #[error("must begin with https:// (http:// is for localhost and loopback addresses only)")]
    Plaintext,
    /// Something follows the host and the port.
    #[error("must end with the host or its port, without a slash or path: {0}")]
    Path(String),
    /// Browsers write it otherwise, so that it would never match.
    #[error("must be written as browsers send it: {0}")]
    Spelling(String),
}

/// The origin of a page, byte for byte as browsers send it: `https://app.example`, `http://localhost:5173`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebOrigin(String);

impl WebOrigin {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebOrigin {
    type Err = WebOriginError;

    /// Reads `https://HOST[:PORT]`. What means the same to a browser but is written otherwise is refused, with the right
    /// spelling: who declares an origin sees it as it will be compared.
    fn from_str(text: &str) -> Result<Self, WebOriginError> {
        if text.len() > MAX_ORIGIN {
            return Err(WebOriginError::TooLong);
        }
        if text.contains('*') {
            return Err(WebOriginError::Wildcard);
        }
        if text.eq_ignore_ascii_case("null") {
            return Err(WebOriginError::Null);
        }
        let (secure, authority, path) = split_url(text).ok_or(WebOriginError::Scheme)?;
        if authority.contains('@') {
            return Err(WebOriginError::User);
        }
        let canonical = canonical(secure, authority)?;
        match () {
            () if !path.is_empty() => Err(WebOriginError::Path(canonical)),
            () if canonical != text => Err(WebOriginError::Spelling(canonical)),
            () => Ok(Self(canonical)),
        }
    }
}

/// The origin as browsers send it: in lower case, and without the port that is the scheme's own.
fn canonical(secure: bool, authority: &str) -> Result<String, WebOriginError> {
    let (name, port) = split_port(authority);
    let host = match host(name) {
        Err(HostFault::Missing) => return Err(WebOriginError::Scheme),
        other => other?,
    };
    let port = port.map(|text| parse_port(text).ok_or(WebOriginError::Port)).transpose()?;
    if !secure && !is_loopback_host(&host) {
        return Err(WebOriginError::Plaintext);
    }
    let scheme = if secure { "https" } else { "http" };
    let port = port.filter(|port| *port != default_port(secure)).map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("{scheme}://{host}{port}"))
}

impl TryFrom<String> for WebOrigin {
    type Error = WebOriginError;
    fn try_from(text: String) -> Result<Self, WebOriginError> {
        text.parse()
    }
}

impl From<WebOrigin> for String {
    fn from(origin: WebOrigin) -> Self {
        origin.0
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebOrigin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        text.parse::<WebOrigin>().map_or_else(|problem| problem.to_string(), |origin| format!("taken: {origin}"))
    }

    #[test]
    fn g16_an_origin_is_taken_as_browsers_send_it() {
        for good in [
            "https://app.example",
            "https://app.example:8443",
            "https://xn--mller-kva.example",
            "https://192.0.2.1",
            "https://[2001:db8::1]:8443",
            "http://localhost",
            "http://localhost:5173",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
        ] {
            let origin: WebOrigin = good.parse().unwrap();
            assert_eq!(origin.as_str(), good);
            let stored = serde_json::to_string(&origin).unwrap();
            assert_eq!(serde_json::from_str::<WebOrigin>(&stored).unwrap(), origin);
        }
    }

    #[test]
    fn a_pasted_address_is_refused_with_the_spelling_that_browsers_send() {
        for (pasted, right) in [
            ("https://app.example/", "without a slash or path: https://app.example"),
            ("https://app.example/login?next=/", "without a slash or path: https://app.example"),
            ("https://app.example?x", "without a slash or path: https://app.example"),
            ("https://App.Example:443/#top", "without a slash or path: https://app.example"),
            ("HTTPS://App.example", "as browsers send it: https://app.example"),
            ("https://app.example:443", "as browsers send it: https://app.example"),
            ("http://localhost:80", "as browsers send it: http://localhost"),
            ("https://[2001:DB8:0::1]", "as browsers send it: https://[2001:db8::1]"),
            ("https://müller.example", "as browsers send it: xn--mller-kva.example"),
        ] {
            let problem = problem(pasted);
            assert!(problem.ends_with(right), "{pasted}: {problem}");
        }
    }

    #[test]
    fn what_is_no_exact_origin_is_refused_with_an_example() {
        for (bad, says) in [
            ("*", "exact origin such as https://app.example"),
            ("https://*.app.example", "exact origin such as https://app.example"),
            ("null", "such as https://app.example"),
            ("", "such as https://app.example"),
            ("app.example", "such as https://app.example"),
            ("app.example:8443", "such as https://app.example"),
            ("capacitor://localhost", "such as https://app.example"),
            ("https://", "such as https://app.example"),
            ("https:///x", "such as https://app.example"),
            ("http://app.example", "must begin with https://"),
            ("http://localhost.evil.example", "must begin with https://"),
            ("https://a@app.example", "must not contain a user"),
            ("https://app.example:", "must have a port of 1 to 65535"),
            ("https://app.example:0", "must have a port of 1 to 65535"),
            ("https://app.example:08443", "must have a port of 1 to 65535"),
            ("https://app.example:65536", "must have a port of 1 to 65535"),
            ("https://app example", "must name a host"),
            ("https://app.example\n", "must name a host"),
            (" https://app.example", "such as https://app.example"),
        ] {
            let problem = problem(bad);
            assert!(problem.contains(says), "{bad}: {problem}");
        }
        assert_eq!(problem(&format!("https://{}.example", "a".repeat(300))), "must be at most 255 bytes");
    }
}
