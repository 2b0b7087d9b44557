//! `Set-Cookie`, with the attributes that each cookie has.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue, header};

use super::{BETWEEN_DEVICES, CookieKind, CookieNames, MAX_DEVICE, MAX_DEVICES, is_language};
use crate::{
    secret::{DeviceToken, SessionCookie, VisitorCookie},
    time::{Timestamp, Ttl},
};

/// As long as a browser keeps any cookie (RFC 6265bis §5.5).
const LONGEST: Ttl = Ttl::from_days(400);
/// How long the choice of a language is kept.
const LANGUAGE: Ttl = Ttl::from_days(365);

/// The value of a `Set-Cookie` header. It has a secret in it, so it is not printed.
pub struct SetCookie(String);

impl SetCookie {
    /// Adds it to an answer. `Set-Cookie` headers stand beside each other, one for each cookie.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        // All values are visible ASCII, so that the conversion does not fail.
        if let Ok(mut value) = HeaderValue::from_str(&self.0) {
            value.set_sensitive(true);
            headers.append(header::SET_COOKIE, value);
        }
    }
}

impl AsRef<str> for SetCookie {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SetCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetCookie({}=…)", self.0.split('=').next().unwrap_or_default())
    }
}

impl CookieNames {
    /// Sets the visitor's cookie, for 400 days.
    #[must_use]
    pub fn visitor(&self, cookie: &VisitorCookie) -> SetCookie {
        self.set(CookieKind::Visitor, cookie.expose(), Some(LONGEST))
    }

    /// Sets the cookie of a session. It ends with the session, whatever its use: `expires_at` is the absolute expiry.
    /// Without one, on a computer that others use too, it ends when the browser is closed.
    #[must_use]
    pub fn session(&self, cookie: &SessionCookie, expires_at: Option<Timestamp>, now: Timestamp) -> SetCookie {
        self.set(CookieKind::Session, cookie.expose(), expires_at.map(|at| at.since(now)))
    }

    /// Sets the device tokens, for 400 days: the newest first, and at most 8 of them. What is no token is left out.
    #[must_use]
    pub fn devices(&self, tokens: &[DeviceToken]) -> SetCookie {
        let good = |token: &&str| token.len() <= MAX_DEVICE && token.bytes().all(is_of_token) && !token.is_empty();
        let tokens: Vec<_> = tokens.iter().map(DeviceToken::expose).filter(good).take(MAX_DEVICES).collect();
        if tokens.is_empty() {
            return self.expired(CookieKind::Devices);
        }
        self.set(CookieKind::Devices, &tokens.join(&BETWEEN_DEVICES.to_string()), Some(LONGEST))
    }

    /// Sets the language, for a year; nothing unless it is a language tag.
    #[must_use]
    pub fn language(&self, tag: &str) -> Option<SetCookie> {
        is_language(tag).then(|| self.set(CookieKind::Language, tag, Some(LANGUAGE)))
    }

    /// Ends a cookie. It is done by name: `Clear-Site-Data` would end those of the application and of sibling hosts too.
    #[must_use]
    pub fn expired(&self, kind: CookieKind) -> SetCookie {
        self.set(kind, "", Some(Ttl::from_secs(0)))
    }

    fn set(&self, kind: CookieKind, value: &str, life: Option<Ttl>) -> SetCookie {
        let max_age = life.map(|life| format!("; Max-Age={}", life.seconds().clamp(0, LONGEST.seconds())));
        let secure = if self.secure { "; Secure" } else { "" };
        // Not sent when another site leads here, and not needed then: it only spares somebody a wait.
        let same_site = if kind == CookieKind::Devices { "Strict" } else { "Lax" };
        let (name, max_age) = (self.name(kind), max_age.unwrap_or_default());
        SetCookie(format!("{name}={value}; Path=/{max_age}{secure}; HttpOnly; SameSite={same_site}"))
    }
}

const fn is_of_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}
