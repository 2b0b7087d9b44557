//! Where the application listens.

use std::{fmt, str::FromStr};

use axum::http::Uri;

/// Why a text is not the URL of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a URL such as http://127.0.0.1:5000, without a path")]
pub struct AppUrlError;

/// The URL of an application in development: `http`, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppUrl {
    authority: String,
}

impl AppUrl {
    /// The host and the port.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl FromStr for AppUrl {
    type Err = AppUrlError;
    fn from_str(text: &str) -> Result<Self, AppUrlError> {
        let uri: Uri = text.parse().map_err(|_| AppUrlError)?;
        let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or(AppUrlError)?;
        let plain = uri.scheme_str() == Some("http")
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && !text.contains(['#', '@']);
        if plain { Ok(Self { authority: authority.to_string() }) } else { Err(AppUrlError) }
    }
}

impl fmt::Display for AppUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_is_at_a_host_and_port() {
        for (good, shown) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("http://localhost:5000/", "http://localhost:5000"),
            ("http://[::1]:5000", "http://[::1]:5000"),
        ] {
            assert_eq!(good.parse::<AppUrl>().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "127.0.0.1:5000",
            "https://127.0.0.1:5000",
            "http://127.0.0.1:5000/app",
            "http://a@127.0.0.1:5000",
            "http://127.0.0.1:5000/?x",
            "http://127.0.0.1:5000#x",
            "http://",
            "/",
        ] {
            assert!(bad.parse::<AppUrl>().is_err(), "{bad}");
        }
    }
}
