//! Session cookies: `chb_` + base64url(format, sealing key version, session, secret, tag), all of fixed length.
//!
//! The cookie says which row of a session is meant and proves that its holder was given it. Everything else stays in
//! the row, which has the hash of the secret, but for what its user has said of the computer: whether the browser keeps the
//! cookie when it is closed. A cookie never changes by time: a `Set-Cookie` can get lost.

use ulid::Ulid;
use zeroize::Zeroizing;

use super::{sealing::SealingKey, sealing_keys::SealingKeys, tagged};
use crate::{
    id::SessionId,
    secret::{SessionCookie, SessionSecret},
};

const PREFIX: &str = "chb_";
/// ULID, secret.
const CONTENT: usize = 16 + 32;
/// The format of cookies that end with the browser.
const PASSING: u8 = tagged::FORMAT;
/// The format of cookies that the browser keeps.
const KEPT: u8 = 2;

/// A cookie that this server made.
#[derive(Debug)]
pub struct ReadCookie {
    /// Its session.
    pub session: SessionId,
    /// The secret of the session.
    pub secret: SessionSecret,
    /// Whether the browser keeps it when it is closed.
    pub kept: bool,
}

/// Makes the cookie of a session. The same arguments give the same cookie.
#[must_use]
pub fn mint(keys: &SealingKeys, session: &SessionId, secret: &SessionSecret, kept: bool) -> SessionCookie {
    let content = [&session.ulid().to_bytes()[..], &*secret.0];
    let format = if kept { KEPT } else { PASSING };
    SessionCookie::new(tagged::write(keys, (PREFIX, format), &content, SealingKey::session_cookie_tag))
}

/// Parses the value of a cookie. Returns nothing unless this server made it.
#[must_use]
pub fn parse(keys: &SealingKeys, cookie: &str) -> Option<ReadCookie> {
    let (format, content) = tagged::read::<CONTENT>(keys, (PREFIX, KEPT), cookie, SealingKey::session_cookie_tag)?;
    let (ulid, secret) = content.split_first_chunk::<16>()?;
    let session = SessionId::from_ulid(Ulid::from_bytes(*ulid));
    let secret = SessionSecret(Zeroizing::new(secret.try_into().ok()?));
    Some(ReadCookie { session, secret, kept: format == KEPT })
}
