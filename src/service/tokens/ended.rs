//! Sessions that were found to have ended: whoever presents their refresh tokens again is answered from memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    domain::{
        client::ClientId,
        session::{RevokedCause, RotateOutcome},
    },
    id::SessionId,
};

/// Maximum sessions kept, about 1 MB. Beyond it the oldest are forgotten, and the database is asked again.
const MAX_KEPT: usize = 4096;

/// A refusal that no later change takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Expired,
    Revoked(RevokedCause),
    Unknown,
}

/// A session, and the client that presented its token: another client gets another answer.
type Key = Arc<(SessionId, ClientId)>;

/// Sessions that have ended, as seen by this process.
#[derive(Debug, Default)]
pub(super) struct EndedSessions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// A restored database begins a new epoch, and may bring sessions back.
    epoch: String,
    refusals: HashMap<Key, Refusal>,
    order: VecDeque<Key>,
}

impl EndedSessions {
    /// The refusal of this session's tokens, if it is known to have ended.
    pub(super) fn refusal(&self, session: &SessionId, client: &ClientId, epoch: &str) -> Option<RotateOutcome> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.epoch != epoch || kept.refusals.is_empty() {
            return None;
        }
        Some(match kept.refusals.get(&(session.clone(), client.clone()))? {
            Refusal::Expired => RotateOutcome::Expired,
            Refusal::Revoked(cause) => RotateOutcome::Revoked(*cause),
            Refusal::Unknown => RotateOutcome::Unknown,
        })
    }

    /// Remembers an outcome, if it is one that stays.
    pub(super) fn remember(&self, session: &SessionId, client: &ClientId, epoch: &str, outcome: &RotateOutcome) {
        let refusal = match outcome {
            RotateOutcome::Expired => Refusal::Expired,
            RotateOutcome::Revoked(cause) => Refusal::Revoked(*cause),
            RotateOutcome::Reused { .. } => Refusal::Revoked(RevokedCause::Reuse),
            RotateOutcome::Unknown => Refusal::Unknown,
            _ => return,
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.epoch != epoch {
            *kept = Kept { epoch: epoch.to_owned(), ..Kept::default() };
        }
        let key = Arc::new((session.clone(), client.clone()));
        if kept.refusals.insert(key.clone(), refusal).is_none() {
            kept.order.push_back(key);
        }
        if kept.order.len() > MAX_KEPT
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.refusals.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entropy::SeededEntropy, time::Timestamp};

    #[test]
    fn what_is_kept_is_bounded_and_ends_with_the_epoch() {
        let (ended, entropy) = (EndedSessions::default(), SeededEntropy::new(1));
        let client: ClientId = "app".parse().unwrap();
        let sessions: Vec<SessionId> =
            (0..=MAX_KEPT).map(|_| SessionId::new(Timestamp::from_millis(1), &entropy)).collect();
        for session in &sessions {
            ended.remember(session, &client, "e", &RotateOutcome::Expired);
            ended.remember(session, &client, "e", &RotateOutcome::Unknown);
        }
        let kept = ended.0.lock().unwrap();
        assert_eq!((kept.refusals.len(), kept.order.len()), (MAX_KEPT, MAX_KEPT));
        drop(kept);
        assert!(ended.refusal(&sessions[0], &client, "e").is_none());
        assert!(matches!(ended.refusal(&sessions[1], &client, "e"), Some(RotateOutcome::Unknown)));
        assert!(ended.refusal(&sessions[1], &"other".parse().unwrap(), "e").is_none());
        assert!(ended.refusal(&sessions[1], &client, "a later epoch").is_none());
    }
}
