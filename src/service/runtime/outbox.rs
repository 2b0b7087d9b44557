//! Outgoing mail: mails are queued in the transaction of the change that they report, and sent when due.
//!
//! A mail is sent after its transaction has committed, by whichever process claims it first. It leaves the database
//! once the mail server has accepted it. A process that stops in between causes a second delivery with the same
//! Message-ID. Nothing else is ever lost or duplicated.

use std::{fmt, sync::Arc, time::Duration};

use zeroize::Zeroizing;

use super::{Runtime, TRIES, live::Live};
use crate::{
    domain::mail::{Mail, MailKind, MailParams, SealedMail, next_attempt},
    entropy::Entropy,
    error::{Error, Result},
    id::MailId,
    keys::SealingKeys,
    mail::{Cause, Failure, Letter, Post, TIMEOUT},
    store::{ClaimedMail, MailsWaiting, Store, Tx},
    time::{Timestamp, Ttl},
};

/// Added to the send timeout to get the lease of a mail: time to record the outcome.
const OUTCOME_MARGIN: Duration = Duration::from_secs(30);

/// The outcome of sending a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The mail server accepted it.
    Sent,
    /// It will be retried.
    Retry(Cause),
    /// It will not be retried.
    GivenUp(Cause),
}

/// One attempt to send a mail, and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The kind of mail, if the row could be read.
    pub kind: Option<MailKind>,
    /// The outcome.
    pub outcome: DeliveryOutcome,
}

/// Outgoing mail. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    store: Store,
    live: Arc<Live>,
    sealing: Arc<SealingKeys>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbox")
    }
}

impl Outbox {
    pub(in crate::service) fn new(runtime: Runtime) -> Self {
        let Runtime { store, live, sealing, entropy } = runtime;
        Self { store, live, sealing, entropy }
    }

    /// Queues a mail in the transaction of the change that it reports: it is sent if and only if that transaction
    /// commits. The content is stored sealed.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn enqueue(&self, tx: &mut Tx, mail: Mail) -> Result<MailId> {
        let now = self.live.now();
        let id = MailId::new(now, &*self.entropy);
        let mut params = mail.content.params(&mail.client);
        mail.asked.add_to(&mut params);
        let params = serde_json::to_vec(&params).map_err(|e| Error::Internal(Box::new(e)))?;
        let key = self.sealing.in_use();
        let sealed = key.seal(
            &Zeroizing::new(params),
            &mail_purpose(id.as_str(), mail.content.kind().as_str(), mail.to.as_str()),
            &*self.entropy,
        );
        let row = SealedMail {
            id: id.clone(),
            kind: mail.content.kind(),
            expires_at: mail.content.expires_at(now),
            to: mail.to,
            language: mail.language,
            sealed,
            sealing_version: i64::from(key.version()),
            created_at: now,
        };
        tx.mail_enqueue(&row).await?;
        Ok(id)
    }

    /// Claims up to `most` due mails. Each must be passed to [`Outbox::deliver`].
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn claim_due(&self, max: usize) -> Result<Vec<ClaimedMail>> {
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        let lease = Ttl::from_millis(i64::try_from((TIMEOUT + OUTCOME_MARGIN).as_millis()).unwrap_or(i64::MAX));
        for _ in 0..TRIES {
            let now = self.live.now();
            // A read does not block writers, and usually nothing is due.
            if !self.store.read().await?.mails_due(now).await? {
                break;
            }
            let tag: String = self.entropy.bytes16().iter().map(|b| format!("{b:02x}")).collect();
            let mut tx = self.store.write().await?;
            let claimed = tx.mails_claim(now, lease, limit, &tag).await?;
            tx.commit().await?;
            // Another process claimed the same mails; more may be due.
            if !claimed.is_empty() {
                return Ok(claimed);
            }
        }
        Ok(Vec::new())
    }

    /// Sends a claimed mail and records the outcome.
    pub async fn deliver(&self, post: &Post, claimed: ClaimedMail) -> Delivery {
        let ClaimedMail { id, tag, attempts, expires_at, mail } = claimed;
        let kind = mail.as_ref().ok().map(|mail| mail.kind);
        let result =
            match mail.map_err(|e| Failure::new(Cause::Broken, &private_cause(&e))).and_then(|m| self.open_letter(m)) {
                Ok(letter) => post.send(&letter).await,
                Err(failure) => Err(failure),
            };
        let outcome = match &result {
            Ok(()) => DeliveryOutcome::Sent,
            Err(Failure { cause: Cause::Refused, .. }) => DeliveryOutcome::GivenUp(Cause::Refused),
            Err(failure) => DeliveryOutcome::Retry(failure.cause),
        };
        if let Err(Failure { cause, detail }) = &result {
            let (cause, about, again) =
                (cause.as_str(), kind.map(MailKind::as_str), matches!(outcome, DeliveryOutcome::Retry(_)));
            tracing::warn!(mail = id, about, attempts, cause, detail, again, "cannot send a mail");
        }
        let next = matches!(outcome, DeliveryOutcome::Retry(_)).then(|| self.next_attempt(attempts, expires_at));
        if let Err(error) = self.record_outcome(&id, &tag, next).await {
            tracing::warn!(mail = id, cause = ?error, "cannot record the outcome of a mail; it will be retried");
        }
        Delivery { kind, outcome }
    }

    /// Deletes mails that have expired; returns how many.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn delete_expired(&self) -> Result<u64> {
        let mut tx = self.store.write().await?;
        let dropped = tx.mails_forget(self.live.now()).await?;
        tx.commit().await?;
        Ok(dropped)
    }

    /// The backlog of unsent mails.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn backlog(&self) -> Result<MailsWaiting> {
        self.store.read().await?.mails_waiting(self.live.now()).await
    }

    /// Decrypts a mail's content.
    fn open_letter(&self, mail: SealedMail) -> Result<Letter, Failure> {
        let broken = |what| Failure::new(Cause::Broken, what);
        let key = self.sealing.version_of_row(mail.sealing_version);
        let opened = key.and_then(|key| {
            key.open(&mail.sealed, &mail_purpose(mail.id.as_str(), mail.kind.as_str(), mail.to.as_str()))
        });
        let opened = opened.ok_or_else(|| broken("it was sealed with another key, or altered since"))?;
        let params: MailParams =
            serde_json::from_slice(&opened).map_err(|_| broken("its parameters cannot be read"))?;
        let SealedMail { id, to, kind, language, expires_at, .. } = mail;
        Ok(Letter { id, to, kind, language, params, now: self.live.now(), expires_at })
    }

    fn next_attempt(&self, attempts: i64, expires_at: Timestamp) -> Timestamp {
        let mut random = [0; 4];
        self.entropy.fill(&mut random);
        next_attempt(attempts, self.live.now(), expires_at, u32::from_be_bytes(random))
    }

    /// Deletes the mail, or schedules a retry. Does nothing if another process has claimed it meanwhile.
    async fn record_outcome(&self, id: &str, tag: &str, next: Option<Timestamp>) -> Result<()> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match self.record_outcome_once(id, tag, next).await {
                Err(Error::Conflict | Error::Unavailable(_)) if tries > 0 => {}
                done => return done,
            }
        }
    }

    async fn record_outcome_once(&self, id: &str, tag: &str, next: Option<Timestamp>) -> Result<()> {
        let mut tx = self.store.write().await?;
        match next {
            None => tx.mail_finish(id, tag).await?,
            Some(next) => tx.mail_failed(id, tag, next, self.live.now()).await?,
        };
        tx.commit().await.map(|_| ())
    }
}

/// The context that a mail's parameters are sealed under. It includes the recipient, so a row with a changed address
/// cannot be decrypted.
pub(in crate::service) fn mail_purpose(id: &str, kind: &str, to: &str) -> String {
    format!("mail {id} {kind} to {to}")
}

/// The private cause of an unreadable row.
fn private_cause(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
