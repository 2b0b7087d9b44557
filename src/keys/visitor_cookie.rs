//! Visitors' cookies: `chv_` + base64url(format, sealing key version, visitor, day, tag), all of fixed length.
//!
//! They recognise a browser before anybody signs in. The day is that of the last `Set-Cookie`, so that a cookie is
//! renewed at most once a day.

use super::{
    sealing::SealingKey,
    sealing_keys::SealingKeys,
    tagged::{self, FORMAT},
};
use crate::{id::VisitorId, secret::VisitorCookie};

const PREFIX: &str = "chv_";
/// Visitor, day.
const CONTENT: usize = 16 + 4;

/// Makes the cookie of a visitor; `day` counts from 1970-01-01. The same arguments give the same cookie.
#[must_use]
pub fn mint(keys: &SealingKeys, visitor: &VisitorId, day: u32) -> VisitorCookie {
    let content = [&visitor.as_bytes()[..], &day.to_be_bytes()];
    VisitorCookie::new(tagged::write(keys, (PREFIX, FORMAT), &content, SealingKey::visitor_cookie_tag))
}

/// Parses the value of a cookie. Returns nothing unless this server made it.
#[must_use]
pub fn parse(keys: &SealingKeys, cookie: &str) -> Option<(VisitorId, u32)> {
    let (_, content) = tagged::read::<CONTENT>(keys, (PREFIX, FORMAT), cookie, SealingKey::visitor_cookie_tag)?;
    let (visitor, day) = content.split_first_chunk::<16>()?;
    Some((VisitorId(*visitor), u32::from_be_bytes(day.try_into().ok()?)))
}
