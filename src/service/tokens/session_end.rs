//! When the last access token of a session that was ended expires, for verifiers that do not follow revocations.

use super::Tokens;
use crate::{
    error::Result,
    id::{SessionId, UserId},
    service::runtime::Live,
    store::{SessionFilter, Tx},
    time::Timestamp,
};

/// Sessions that a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionsEnded {
    /// How many were live before.
    pub sessions: usize,
    /// When their last access token expires; nothing if none was ended.
    pub token_end: Option<Timestamp>,
}

impl SessionsEnded {
    /// What was ended of a user's sessions at `now`, within the transaction that ended them.
    pub(in crate::service) async fn of(
        tx: &mut Tx,
        user: &UserId,
        sessions: usize,
        (live, now): (&Live, Timestamp),
    ) -> Result<Self> {
        let snapshot = live.snapshot();
        let ended =
            if sessions == 0 { Vec::new() } else { tx.sessions_of_user(user, SessionFilter::RevokedAt(now)).await? };
        let token_end = ended.iter().map(|session| snapshot.token_end(session, now)).max();
        Ok(Self { sessions, token_end })
    }
}

impl Tokens {
    /// When the last access token of a session that was ended expires. Its row is read again, because a refresh may
    /// have come just before the end. If it cannot be read, the session has ended all the same, and the latest
    /// possible time is returned.
    pub(in crate::service) async fn token_end(&self, id: &SessionId) -> Timestamp {
        let row = async { self.store.read().await?.session_by_id(id).await };
        let row = row.await;
        let now = self.live.now();
        match row {
            Ok(Some(session)) => self.live.snapshot().token_end(&session, now),
            // Rows are deleted once all their tokens have expired.
            Ok(None) => now,
            Err(error) => {
                tracing::warn!(session = %id, cause = ?error, "cannot read when the tokens of a session expire");
                self.longest_token_end()
            }
        }
    }

    /// When every token that exists now will have expired.
    pub(super) fn longest_token_end(&self) -> Timestamp {
        let now = self.live.now();
        now.plus(self.live.snapshot().settings.waiting_ceiling(now))
    }
}
