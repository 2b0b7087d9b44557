//! Cookies: their names, how they are read, and how they are set.
//!
//! A browser lets only this very origin set a cookie whose name begins with `__Host-`, if this server reads that name
//! and no other: letters in another case, blanks around it, a name in quotes or with `%` are all different cookies,
//! which a neighbouring host can set.

mod set_cookie;

use std::fmt;

use axum::http::{HeaderMap, HeaderValue, header};

pub use self::set_cookie::SetCookie;
use crate::{domain::site::Site, secret::DeviceToken};

/// The most bytes of `Cookie` headers that are read. A listener takes less; a header that is larger has none of ours.
const MAX_HEADERS: usize = 64 * 1024;
/// The longest value that a browser keeps together with its name (RFC 6265bis §5.7).
const MAX_VALUE: usize = 4096;
/// How many accounts remember one browser.
pub const MAX_DEVICES: usize = 8;
/// The longest device token that is kept. Ours are shorter.
const MAX_DEVICE: usize = 256;
/// Between device tokens. It is in none.
const BETWEEN_DEVICES: char = '.';
/// The longest language tag (RFC 5646 §4.4.1).
const MAX_LANGUAGE: usize = 35;

/// A cookie of this server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieKind {
    /// Recognises a visitor.
    Visitor,
    /// A session.
    Session,
    /// The accounts that know the browser.
    Devices,
    /// The language of the pages.
    Language,
}

impl CookieKind {
    const ALL: [Self; 4] = [Self::Visitor, Self::Session, Self::Devices, Self::Language];

    const fn base(self) -> &'static str {
        match self {
            Self::Visitor => "chancery-visitor",
            Self::Session => "chancery-session",
            Self::Devices => "chancery-devices",
            Self::Language => "chancery-lang",
        }
    }
}

/// The names of the cookies at a site. What the site is declared as decides, never the request: it could come over
/// another scheme than the browser believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieNames {
    names: [String; 4],
    secure: bool,
}

impl CookieNames {
    /// The names at this site. Browsers refuse `Secure` cookies of some `http` sites, loopback or not, and cookies know
    /// no ports, so that two applications on one machine would share them.
    #[must_use]
    pub fn of(site: &Site) -> Self {
        let secure = site.is_secure();
        let name = |kind: CookieKind| {
            if secure { format!("__Host-{}", kind.base()) } else { format!("{}-{}", kind.base(), site.port()) }
        };
        Self { names: CookieKind::ALL.map(name), secure }
    }

    /// The name of a cookie.
    #[must_use]
    pub fn name(&self, kind: CookieKind) -> &str {
        let [visitor, session, devices, language] = &self.names;
        match kind {
            CookieKind::Visitor => visitor,
            CookieKind::Session => session,
            CookieKind::Devices => devices,
            CookieKind::Language => language,
        }
    }

    /// The cookie with exactly this name.
    fn kind(&self, name: &[u8]) -> Option<CookieKind> {
        CookieKind::ALL.into_iter().find(|kind| self.name(*kind).as_bytes() == name)
    }
}

/// What a browser sent of one cookie.
enum Sent {
    /// Nothing.
    Nothing,
    /// It, once.
    Once(String),
    /// It more than once, or something that no value of ours is. One of two is another host's or another path's, and
    /// nothing tells which.
    Unusable,
}

impl Sent {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Once(text) => Some(text),
            Self::Nothing | Self::Unusable => None,
        }
    }
}

/// The cookies of a request, as they count at its site. Whether this server made them is not known yet.
pub struct RequestCookies {
    names: CookieNames,
    visitor: Sent,
    session: Sent,
    devices: (Sent, Vec<DeviceToken>),
    language: Sent,
}

impl fmt::Debug for RequestCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent: Vec<_> = CookieKind::ALL.into_iter().filter(|kind| self.was_sent(*kind)).collect();
        f.debug_struct("RequestCookies").field("sent", &sent).finish_non_exhaustive()
    }
}

impl RequestCookies {
    /// Reads the cookies of a request. Over HTTP/2 there can be a header for each (RFC 9113 §8.2.3).
    #[must_use]
    pub fn read(headers: &HeaderMap, names: &CookieNames) -> Self {
        let all = || headers.get_all(header::COOKIE).iter();
        let mut sent = [Sent::Nothing, Sent::Nothing, Sent::Nothing, Sent::Nothing];
        if all().map(HeaderValue::len).sum::<usize>() <= MAX_HEADERS {
            for pair in all().flat_map(|value| value.as_bytes().split(|b| *b == b';')) {
                note(&mut sent, pair, names);
            }
        }
        let [visitor, session, devices, language] = sent;
        let language = match language {
            Sent::Once(tag) if !is_language(&tag) => Sent::Unusable,
            language => language,
        };
        let tokens = devices.text().map(device_tokens).unwrap_or_default();
        let devices = if tokens.is_empty() && devices.text().is_some() { Sent::Unusable } else { devices };
        Self { names: names.clone(), visitor, session, devices: (devices, tokens), language }
    }

    /// The names at this site.
    #[must_use]
    pub fn names(&self) -> &CookieNames {
        &self.names
    }

    /// The visitor's cookie.
    #[must_use]
    pub fn visitor(&self) -> Option<&str> {
        self.visitor.text()
    }

    /// The cookie of a session.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.text()
    }

    /// The device tokens, the newest first.
    #[must_use]
    pub fn devices(&self) -> &[DeviceToken] {
        &self.devices.1
    }

    /// The chosen language, as a BCP 47 tag.
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        self.language.text()
    }

    /// Whether a cookie came at all, usable or not. If nothing came of it, it is to be overwritten.
    #[must_use]
    pub fn was_sent(&self, kind: CookieKind) -> bool {
        !matches!(self.sent(kind), Sent::Nothing)
    }

    /// Whether a cookie came in a way that cannot be used, such as twice: it is to be overwritten.
    #[must_use]
    pub fn is_unusable(&self, kind: CookieKind) -> bool {
        matches!(self.sent(kind), Sent::Unusable)
    }

    const fn sent(&self, kind: CookieKind) -> &Sent {
        match kind {
            CookieKind::Visitor => &self.visitor,
            CookieKind::Session => &self.session,
            CookieKind::Devices => &self.devices.0,
            CookieKind::Language => &self.language,
        }
    }
}

/// Notes a `name=value`. Only the one blank that stands between cookies is taken off: what is left is the name.
fn note(sent: &mut [Sent; 4], pair: &[u8], names: &CookieNames) {
    let pair = pair.strip_prefix(b" ").unwrap_or(pair);
    let Some(end) = pair.iter().position(|b| *b == b'=') else { return };
    let (name, value) = pair.split_at(end);
    let Some(kind) = names.kind(name) else { return };
    let value = value.strip_prefix(b"=").unwrap_or_default();
    let [visitor, session, devices, language] = sent;
    let slot = match kind {
        CookieKind::Visitor => visitor,
        CookieKind::Session => session,
        CookieKind::Devices => devices,
        CookieKind::Language => language,
    };
    let plain = !value.is_empty() && value.len() <= MAX_VALUE && value.iter().all(|b| is_of_value(*b));
    let text = std::str::from_utf8(value).ok().filter(|_| plain && matches!(slot, Sent::Nothing));
    *slot = text.map_or(Sent::Unusable, |text| Sent::Once(text.to_owned()));
}

/// Whether a byte can be in a value of ours: base64url, and what stands between device tokens.
const fn is_of_value(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}

fn device_tokens(value: &str) -> Vec<DeviceToken> {
    let tokens = value.split(BETWEEN_DEVICES).filter(|token| !token.is_empty() && token.len() <= MAX_DEVICE);
    tokens.take(MAX_DEVICES).map(|token| DeviceToken::new(token.to_owned())).collect()
}

/// Whether a text has the form of a language tag (RFC 5646 §2.1): a language of letters, then parts of letters and
/// digits.
fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let language = parts.next().unwrap_or_default();
    tag.len() <= MAX_LANGUAGE
        && (2..=8).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests;
