//! Session cookies: `chb_` + base64url(format, sealing key version, session, secret, tag), all of fixed length.
//!
//! The cookie says which row of a session is meant and proves that its holder was given it. Everything else stays in
//! the row, which has the hash of the secret. A cookie never changes by time: a `Set-Cookie` can get lost.

use ulid::Ulid;
use zeroize::Zeroizing;

use super::{sealing::SealingKey, tagged};
use crate::{
    id::SessionId,
    secret::{SessionCookie, SessionSecret},
};

const PREFIX: &str = "chb_";
/// ULID, secret.
const CONTENT: usize = 16 + 32;

/// Makes the cookie of a session. The same arguments give the same cookie.
#[must_use]
pub fn mint(key: &SealingKey, session: &SessionId, secret: &SessionSecret) -> SessionCookie {
    let content = [&session.ulid().to_bytes()[..], &*secret.0];
    SessionCookie::new(tagged::write(PREFIX, &content, |bytes| key.session_cookie_tag(bytes)))
}

/// Parses the value of a cookie. Returns nothing unless this server made it.
#[must_use]
pub fn parse(key: &SealingKey, cookie: &str) -> Option<(SessionId, SessionSecret)> {
    let content = tagged::read::<CONTENT>(PREFIX, cookie, |bytes| key.session_cookie_tag(bytes))?;
    let (ulid, secret) = content.split_first_chunk::<16>()?;
    let secret = Zeroizing::new(secret.try_into().ok()?);
    Some((SessionId::from_ulid(Ulid::from_bytes(*ulid)), SessionSecret(secret)))
}
