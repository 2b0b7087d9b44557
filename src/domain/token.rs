//! How large an access token may be, and until when the tokens of a session can be valid.

#[cfg(test)]
mod tests;

use super::{
    client::ClientConfig,
    session::Session,
    settings::{CEILING_RAISE_DELAY, SKEW, Settings},
};
use crate::time::{Timestamp, Ttl};

/// Maximum size of an access token, in bytes. Every consumer takes one of this size: it fits into the smallest common
/// limit for a header, and the headers that the guard makes from it have at most 12 KiB together.
pub const MAX_TOKEN: usize = 4096;

/// The longest grace period that can be set for refresh tokens.
pub const MAX_REFRESH_GRACE: Ttl = Ttl::from_secs(60);

/// When the last access token of a session expires: never too early, and exact where the row of the session says when
/// it was issued. `client` is nothing if it no longer exists.
#[must_use]
pub fn last_token_end(
    session: &Session,
    client: Option<&ClientConfig>,
    settings: &Settings,
    now: Timestamp,
) -> Timestamp {
    let issued = last_issue(session, settings, now);
    let ceiling = settings.waiting_ceiling(now);
    let expiry = |issued: Timestamp, lifetime: Ttl| issued.seconds().saturating_add(lifetime.min(ceiling).seconds());
    let mut end = expiry(issued, client.map_or(ceiling, |c| c.token_lifetime));
    if let Some((lifetime, changed_at)) = client.and_then(|c| c.previous_token_lifetime) {
        // By then, no process issues tokens with the previous lifetime.
        let until = changed_at.plus(CEILING_RAISE_DELAY);
        if session.created_at < until {
            end = end.max(expiry(issued.min(until), lifetime));
        }
    }
    let end = end.min(session.absolute_expires_at.seconds());
    Timestamp::from_millis(end.saturating_mul(1000))
}

/// When the last access token of the session was issued, or later.
fn last_issue(session: &Session, settings: &Settings, now: Timestamp) -> Timestamp {
    let rotated_at = session.rotated_at;
    // A repeated request gets a new access token, and the row stays as it is. With a request id it may come however
    // late, without one only within the grace period. What was issued at sign-in cannot be repeated.
    let issued = match (session.generation, &session.rotation_request_id) {
        (0, _) => rotated_at,
        (_, None) => rotated_at.plus(MAX_REFRESH_GRACE),
        (_, Some(_)) => now,
    };
    // The row may be older than the last refresh where the database lost its newest commits.
    let lost = settings.commits_lost_at.filter(|at| rotated_at < *at);
    let issued = lost.map_or(issued, |at| issued.max(at)).min(now);
    // A refresh may have been under way while the session was revoked.
    session.revoked.map_or(issued, |(at, _)| issued.min(at.plus(SKEW)))
}

impl ClientConfig {
    /// Changes the lifetime of tokens, and keeps the previous one for those that were issued before.
    pub fn set_token_lifetime(&mut self, lifetime: Ttl, now: Timestamp) {
        if lifetime == self.token_lifetime {
            return;
        }
        let (old, kept) = (self.token_lifetime, self.previous_token_lifetime);
        let alive = kept.filter(|(longest, at)| now < at.plus(CEILING_RAISE_DELAY).plus(*longest));
        self.previous_token_lifetime = match alive {
            // The new lifetime covers the old one.
            Some((longest, at)) if longest > old && lifetime > old => Some((longest, at)),
            // After several changes in short order, the longest counts.
            Some((longest, _)) => Some((longest.max(old), now)),
            None => Some((old, now)),
        };
        self.token_lifetime = lifetime;
    }
}
