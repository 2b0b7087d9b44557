//! One transaction of the session writer, and its retries.

use super::{
    Inner, Work,
    batch::{Batch, Reply},
};
use crate::{
    domain::{
        session::{OpenOutcome, RotateOutcome, TokenBasis},
        session_data::DataOutcome,
    },
    error::{Error, Result},
    service::runtime::{TRIES, copy_error},
    store::{By, Opening, Revoke, Tx},
    time::{Timestamp, Ttl},
};

/// If a commit takes longer than this, its rotations are stamped again.
const SLOW_COMMIT: Ttl = Ttl::from_secs(1);

/// How many requests of a batch may each wait for a lock of somebody else, 2 s each, before the rest are refused.
const MAX_LOCKED: usize = 1;

/// The outcomes, each list in the order of its lane.
#[derive(Default)]
struct Written {
    revoked: Vec<usize>,
    opened: Vec<OpenOutcome>,
    rotated: Vec<RotateOutcome>,
    data: Vec<DataOutcome>,
}

/// How a transaction failed.
enum AttemptError {
    /// Nothing was committed.
    RolledBack(Error),
    /// It is unknown whether the database committed. The instant is the one that the rows were stamped with.
    Unknown(Error, Timestamp),
}

impl Inner {
    /// Writes a batch. If that fails, writes each request on its own, so that one bad request does not fail the
    /// others.
    pub(super) async fn write(&self, tx: Tx, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let Err((failed, mut batch)) = self.attempt(tx, batch).await else { return };
        tracing::debug!(cause = ?failed.error(), "a batch failed; writing its requests one by one");
        failed.prepare_retry(&mut batch);
        let (mut unreachable, mut locked) = (None, 0);
        for mut single in batch.split() {
            match &unreachable {
                Some(error) => single.fail(error),
                None => match self.write_single(single).await {
                    Ok(()) => {}
                    Err(error @ Error::Throttled { .. }) if locked < MAX_LOCKED => {
                        locked += 1;
                        tracing::debug!(cause = ?error, "a session is locked by another transaction");
                    }
                    Err(error) => unreachable = Some(error),
                },
            }
        }
    }

    /// Writes one request, and retries after a conflict. An error means that the database is unreachable, or that
    /// somebody else holds a lock for too long; the request has been answered.
    async fn write_single(&self, mut single: Batch) -> Result<()> {
        for tries in 1..=TRIES {
            single.drop_expired();
            if single.is_empty() {
                return Ok(());
            }
            let tx = match self.store.write().await {
                Ok(tx) => tx,
                Err(error) => {
                    single.fail(&error);
                    return Err(error);
                }
            };
            let Err((failed, rest)) = self.attempt(tx, single).await else { return Ok(()) };
            single = rest;
            failed.prepare_retry(&mut single);
            let over = tries == TRIES
                || !matches!(failed, AttemptError::RolledBack(Error::Conflict) | AttemptError::Unknown(..));
            if over {
                let error = failed.error();
                single.fail(error);
                return match error {
                    Error::Unavailable(_) | Error::Throttled { .. } => Err(copy_error(error)),
                    _ => Ok(()),
                };
            }
        }
        Ok(())
    }

    /// Writes a batch in one transaction and sends the outcomes. Returns the batch if the transaction fails.
    async fn attempt(&self, mut tx: Tx, batch: Batch) -> Result<(), (AttemptError, Batch)> {
        let (now, began) = (self.live.now(), self.clock.elapsed());
        let written = match self.apply(&mut tx, &batch, now).await {
            Ok(written) => written,
            Err(error) => return Err((AttemptError::RolledBack(error), batch)),
        };
        let wrote_feed = match tx.commit().await {
            Ok(wrote_feed) => wrote_feed,
            // The database reports that it did not commit.
            Err(error @ Error::Conflict) => return Err((AttemptError::RolledBack(error), batch)),
            Err(error) => return Err((AttemptError::Unknown(error, now), batch)),
        };
        if self.clock.elapsed() > began.plus(SLOW_COMMIT) {
            self.restamp(&written.rotated).await;
        }
        let confirm = wrote_feed || batch.may_be_in_feed;
        self.send_outcomes(batch, written, confirm);
        Ok(())
    }

    /// Writes users first, then sessions, then the feed: every transaction takes its locks in this order. Revocations
    /// come before rotations, so that a session ended in this batch cannot be refreshed in it.
    async fn apply(&self, tx: &mut Tx, batch: &Batch, now: Timestamp) -> Result<Written> {
        let snapshot = self.live.snapshot();
        let settings = &snapshot.settings;
        let mut written = Written::default();
        let held = hold_users(tx, &batch.openings.work).await?;
        for revocation in &batch.revocations.work {
            let by = By { actor: &revocation.actor, cause: revocation.cause, settings, now };
            written.revoked.push(tx.revoke(Revoke::Sessions(&revocation.sessions), &by).await?);
        }
        if !batch.rotations.work.is_empty() {
            written.rotated = tx.rotate(&batch.rotations.work, settings, now).await?;
        }
        if !batch.touches.is_empty() {
            tx.sessions_touch(&batch.touches, now).await?;
        }
        for (opening, held) in batch.openings.work.iter().zip(held) {
            written.opened.push(if held {
                tx.session_open(opening, settings, now).await?
            } else {
                OpenOutcome::UserChanged
            });
        }
        // Last, for data come after sessions. What a session has that was replaced in this batch has moved by now.
        if !batch.data.work.is_empty() {
            written.data = tx.session_data_write(&batch.data.work, settings.limits.guest_data_bytes, now).await?;
        }
        Ok(written)
    }

    /// Sends all outcomes. Those with a feed entry are sent only after this process has applied it.
    fn send_outcomes(&self, batch: Batch, written: Written, confirm: bool) {
        let has_feed_entry = |r: &RotateOutcome| matches!(r, RotateOutcome::Reused { .. } | RotateOutcome::Revoked(_));
        let rotated = batch.rotations.replies(written.rotated);
        let (reused, rotated): (Vec<_>, Vec<_>) = rotated.partition(|a| has_feed_entry(&a.outcome));
        send_all(rotated, &Ok(()));
        send_all(batch.data.replies(written.data).collect(), &Ok(()));
        let revoked: Vec<_> = batch.revocations.replies(written.revoked).collect();
        let opened: Vec<_> = batch.openings.replies(written.opened).collect();
        let live = self.live.clone();
        let rest = async move {
            let confirmed = if confirm { live.confirm().await } else { Ok(()) };
            send_all(reused, &confirmed);
            send_all(revoked, &confirmed);
            send_all(opened, &confirmed);
        };
        if confirm {
            // The next batch need not wait for the confirmation.
            tokio::spawn(rest);
        } else {
            // The future is ready immediately: it has nothing to confirm.
            let _ = futures_util::FutureExt::now_or_never(rest);
        }
    }

    /// Stamps rotations again after a slow commit. Otherwise a retry of the client might find the grace period
    /// already used up.
    async fn restamp(&self, rotated: &[RotateOutcome]) {
        let rotations = rotated.iter().filter_map(|r| if let RotateOutcome::Rotated(s) = r { Some(s) } else { None });
        let rotations: Vec<&TokenBasis> = rotations.collect();
        let stamp = async {
            let mut tx = self.store.write().await?;
            for session in &rotations {
                tx.rotation_stamp(&session.id, session.generation, self.live.now()).await?;
            }
            tx.commit().await
        };
        if let Err(error) = stamp.await {
            // The rotations are committed, so their callers still get the outcome.
            tracing::warn!(cause = ?error, sessions = rotations.len(), "cannot update the time of slow rotations");
        }
    }
}

impl AttemptError {
    const fn error(&self) -> &Error {
        match self {
            Self::RolledBack(error) | Self::Unknown(error, _) => error,
        }
    }

    /// Prepares a batch for a retry. Refreshes and revocations can be repeated. A session that may have been opened
    /// must not be opened twice, and data that may have been changed may have been changed again since, so both fail.
    fn prepare_retry(&self, batch: &mut Batch) {
        if let Self::Unknown(error, stamp) = self {
            batch.openings.fail(error);
            batch.data.fail(error);
            batch.may_be_in_feed = true;
            for rotation in &mut batch.rotations.work {
                rotation.tried_at = Some(*stamp);
            }
        }
    }
}

fn send_all<W: Work>(replies: Vec<Reply<W>>, confirmed: &Result<()>) {
    for reply in replies {
        reply.send(confirmed);
    }
}

/// Locks the users' rows in id order. An entry is false if the user has changed since the password was checked.
async fn hold_users(tx: &mut Tx, openings: &[Opening]) -> Result<Vec<bool>> {
    let mut order: Vec<(usize, &Opening)> = openings.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.session.user.cmp(&b.session.user));
    let mut held = vec![false; openings.len()];
    for (n, opening) in order {
        let is_held = match &opening.session.user {
            Some(user) => tx.user_hold(user, opening.security_version).await?,
            None => true,
        };
        if let Some(slot) = held.get_mut(n) {
            *slot = is_held;
        }
    }
    Ok(held)
}
