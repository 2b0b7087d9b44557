//! How a client looks on the pages that its users see.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::site::is_loopback_host;

/// The longest address of a logo, in bytes.
const MAX_LOGO: usize = 2048;

/// Why a text is not the address of a logo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogoError {
    /// It is too long.
    #[error("must be at most {MAX_LOGO} bytes")]
    TooLong,
    /// It is something else.
    #[error("must be an https URL, or a path at the site such as /logo.svg (http:// is for loopback only)")]
    Form,
}

/// Where the picture of a client is: an `https` URL (`http` on loopback), or a path at its site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogoUri(String);

impl LogoUri {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The origin that a browser fetches it from, if that is not necessarily the site's own.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        let (scheme, rest) = self.0.split_once("://").filter(|_| !self.0.starts_with('/'))?;
        let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        self.0.get(..scheme.len() + 3 + host)
    }
}

impl FromStr for LogoUri {
    type Err = LogoError;
    fn from_str(text: &str) -> Result<Self, LogoError> {
        if text.len() > MAX_LOGO {
            return Err(LogoError::TooLong);
        }
        // What would end an attribute or a directive of a content security policy is written with % in a URL.
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'<>\\^`{|};,".contains(&b));
        let is_path = text.starts_with('/') && !text.starts_with("//");
        let host = |rest: &str| {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = match authority.rsplit_once(':') {
                Some((host, port)) if !port.contains(']') => host.to_owned(),
                _ => authority.to_owned(),
            };
            Some(host).filter(|host| !host.is_empty() && !authority.contains('@'))
        };
        let is_url = match text.split_once("://") {
            Some(("https", rest)) => host(rest).is_some(),
            Some(("http", rest)) => host(rest).is_some_and(|host| is_loopback_host(&host)),
            _ => false,
        };
        if plain && (is_path || is_url) { Ok(Self(text.to_owned())) } else { Err(LogoError::Form) }
    }
}

/// Why a text is not a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a colour of the form #RRGGBB, such as #1a56db")]
pub struct ColorError;

/// The colour of buttons and links. Any colour will do: the pages choose the colour of the text on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccentColor {
    red: u8,
    green: u8,
    blue: u8,
}

impl AccentColor {
    /// Red, green and blue.
    #[must_use]
    pub const fn rgb(self) -> (u8, u8, u8) {
        (self.red, self.green, self.blue)
    }
}

impl FromStr for AccentColor {
    type Err = ColorError;
    fn from_str(text: &str) -> Result<Self, ColorError> {
        let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(ColorError)?;
        let [_, red, green, blue] = number.to_be_bytes();
        Ok(Self { red, green, blue })
    }
}

impl fmt::Display for AccentColor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

impl TryFrom<String> for AccentColor {
    type Error = ColorError;
    fn try_from(text: String) -> Result<Self, ColorError> {
        text.parse()
    }
}

impl From<AccentColor> for String {
    fn from(color: AccentColor) -> Self {
        color.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_is_at_a_safe_url_or_at_the_site() {
        for (good, origin) in [
            ("https://cdn.example/logo.svg", Some("https://cdn.example")),
            ("https://cdn.example:8443?x=1", Some("https://cdn.example:8443")),
            ("http://localhost:3000/logo.png", Some("http://localhost:3000")),
            ("http://[::1]:3000/logo.png", Some("http://[::1]:3000")),
            ("/logo.svg", None),
            ("/logo.svg?from=https://cdn.example", None),
        ] {
            assert_eq!(good.parse::<LogoUri>().unwrap().origin(), origin, "{good}");
        }
        for bad in [
            "",
            "logo.svg",
            "//cdn.example/logo.svg",
            "http://cdn.example/logo.svg",
            "data:image/png;base64,AA==",
            "javascript:alert(1)",
            "https://",
            "https:///x",
            "https://a@cdn.example/",
            "https://cdn.example/a b",
            "https://cdn.example/\"x",
            "https://cdn.example;script-src",
            "https://cdn.example/ä",
        ] {
            assert_eq!(bad.parse::<LogoUri>(), Err(LogoError::Form), "{bad}");
        }
        assert_eq!(format!("/{}", "a".repeat(2048)).parse::<LogoUri>(), Err(LogoError::TooLong));
    }

    #[test]
    fn a_colour_has_six_digits() {
        assert_eq!("#1A56db".parse::<AccentColor>().unwrap().to_string(), "#1a56db");
        assert_eq!("#010203".parse::<AccentColor>().unwrap().rgb(), (1, 2, 3));
        for bad in ["", "1a56db", "#1a56d", "#1a56dbb", "#1a56dg", "red", "#+1a56d", "#é1a56"] {
            assert_eq!(bad.parse::<AccentColor>(), Err(ColorError), "{bad}");
        }
    }
}
