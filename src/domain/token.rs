//! How large an access token may be, and until when the tokens of a session can be valid.

#[cfg(test)]
mod tests;

use super::{
    client::ClientConfig,
    session::{Session, SessionKind},
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
    let issued = last_issue(session, now);
    let ceiling = settings.waiting_ceiling(now);
    let expiry = |issued: Timestamp, lifetime: Ttl| issued.seconds().saturating_add(lifetime.min(ceiling).seconds());
    let longest = lifetimes(session, client, issued).map(|(until, lifetime)| expiry(until, lifetime)).max();
    // No token outlives the idle time that its session had left.
    let mut end = longest.unwrap_or_else(|| expiry(issued, ceiling)).min(session.expires_at().seconds());
    if let Some(at) = settings.commits_lost_at.map(|at| at.plus(CEILING_RAISE_DELAY))
        && session.created_at < at
    {
        // The row and the lifetimes may have gone back. Of what was issued until every process knew that, nothing is
        // left to tell.
        let until = not_after_the_end(session, at.min(now));
        end = end.max(expiry(until, ceiling).min(until.plus(session.idle_ttl).seconds()));
    }
    let end = end.min(session.absolute_expires_at.seconds());
    Timestamp::from_millis(end.saturating_mul(1000))
}

/// The lifetimes that tokens of the session can have had, each with the time until which one can have been issued.
fn lifetimes(
    session: &Session,
    client: Option<&ClientConfig>,
    issued: Timestamp,
) -> impl Iterator<Item = (Timestamp, Ttl)> {
    let changed = client.and_then(|client| client.previous_token_lifetime);
    // By the clock of another process, the last token may be younger than its time says.
    let current_used = changed.is_none_or(|(_, at)| issued.plus(SKEW) >= at);
    let current = client.filter(|_| current_used).map(|client| (issued, client.token_lifetime));
    // By then, no process issues tokens with the previous lifetime.
    let previous = changed
        .map(|(lifetime, at)| (at.plus(CEILING_RAISE_DELAY), lifetime))
        .filter(|(until, _)| session.created_at < *until)
        .map(|(until, lifetime)| (issued.min(until), lifetime));
    // Before lifetimes were noted, it may have been any.
    let unknown = client
        .map(|client| client.token_lifetimes_noted_since.unwrap_or(Timestamp::from_millis(i64::MAX)))
        .filter(|since| session.created_at < *since)
        .map(|since| (issued.min(since), Ttl::MAX));
    [current, previous, unknown].into_iter().flatten()
}

/// When the last access token of the session was issued, or later.
fn last_issue(session: &Session, now: Timestamp) -> Timestamp {
    let rotated_at = session.rotated_at;
    // A repeated request gets a new access token, and the row stays as it is. With a request id it may come however
    // late, without one only within the grace period. What was issued at sign-in cannot be repeated.
    let issued = match (session.generation, &session.rotation_request_id) {
        // Tokens for the holder of a cookie leave no trace in the row.
        _ if session.kind != SessionKind::Token => now,
        (0, _) => rotated_at,
        (_, None) => rotated_at.plus(MAX_REFRESH_GRACE),
        (_, Some(_)) => now,
    };
    not_after_the_end(session, issued.min(now))
}

/// A refresh may have been under way while the session was revoked, but none was later.
fn not_after_the_end(session: &Session, issued: Timestamp) -> Timestamp {
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
