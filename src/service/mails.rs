//! Outgoing mail: handing it in with the change that it tells of, and sending what is due.
//!
//! A mail is sent after its transaction has committed, by whichever process takes it first. It leaves the
//! database once the mail server has it: a process that ends in between sends it a second time, under the
//! same Message-ID, and nothing else is ever lost or doubled.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{Service, TRIES};
use crate::{
    domain::mail::{Mail, MailKind, Params, Recipient, SealedMail, next_attempt},
    error::{Error, Result},
    id::MailId,
    keys::SEALING_VERSION,
    mail::{Cause, Failure, Letter, Post, TIMEOUT},
    store::{ClaimedMail, MailsWaiting, Tx},
    time::{Timestamp, Ttl},
};

/// How much longer a mail is held than sending it may take: for writing down what became of it.
const TO_WRITE_DOWN: Duration = Duration::from_secs(30);

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The mail server has it.
    Sent,
    /// It will be tried again.
    Later(Cause),
    /// It never will be.
    GivenUp(Cause),
}

/// A mail that was tried, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What it is about, as far as that could be read.
    pub kind: Option<MailKind>,
    /// What became of it.
    pub fate: Fate,
}

impl Service {
    /// Hands a mail in, as part of the transaction that changes what it tells of: it is sent if that commits,
    /// and only then. What it says is sealed.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn mail(&self, tx: &mut Tx, mail: Mail) -> Result<MailId> {
        let now = self.now();
        let id = MailId::new(now, &*self.entropy);
        let params =
            serde_json::to_vec(&mail.content.params(&mail.client)).map_err(|e| Error::Internal(Box::new(e)))?;
        let sealed =
            self.sealing.seal(&Zeroizing::new(params), &purpose(&id, mail.content.kind(), &mail.to), &*self.entropy);
        let row = SealedMail {
            id: id.clone(),
            kind: mail.content.kind(),
            expires_at: mail.content.expires_at(now),
            to: mail.to,
            language: mail.language,
            sealed,
            sealing_version: i64::from(SEALING_VERSION),
            created_at: now,
        };
        tx.mail_enqueue(&row).await?;
        Ok(id)
    }

    /// Takes up to `most` mails that are due; each must be given to [`Service::mail_deliver`].
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn mails_take(&self, most: usize) -> Result<Vec<ClaimedMail>> {
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let lease = Ttl::from_millis(i64::try_from((TIMEOUT + TO_WRITE_DOWN).as_millis()).unwrap_or(i64::MAX));
        for _ in 0..TRIES {
            let now = self.now();
            // Looking takes nobody's turn to write, and mostly there is nothing.
            if !self.store.read().await?.mails_due(now).await? {
                break;
            }
            let tag: String = self.entropy.bytes16().iter().map(|b| format!("{b:02x}")).collect();
            let mut tx = self.store.write().await?;
            let taken = tx.mails_claim(now, lease, limit, &tag).await?;
            tx.commit().await?;
            // Another process had taken the same ones; there may be more.
            if !taken.is_empty() {
                return Ok(taken);
            }
        }
        Ok(Vec::new())
    }

    /// Sends a mail that was taken, and writes down what became of it.
    pub async fn mail_deliver(&self, post: &Post, taken: ClaimedMail) -> Delivery {
        let ClaimedMail { id, tag, attempts, expires_at, mail } = taken;
        let kind = mail.as_ref().ok().map(|mail| mail.kind);
        let tried = match mail.map_err(|e| Failure::new(Cause::Broken, &cause_of(&e))).and_then(|m| self.letter(m)) {
            Ok(letter) => post.send(&letter).await,
            Err(failure) => Err(failure),
        };
        let fate = match &tried {
            Ok(()) => Fate::Sent,
            Err(Failure { cause: Cause::Refused, .. }) => Fate::GivenUp(Cause::Refused),
            Err(failure) => Fate::Later(failure.cause),
        };
        if let Err(Failure { cause, detail }) = &tried {
            let (cause, about, again) = (cause.as_str(), kind.map(MailKind::as_str), matches!(fate, Fate::Later(_)));
            tracing::warn!(mail = id, about, attempts, cause, detail, again, "cannot send a mail");
        }
        let next = matches!(fate, Fate::Later(_)).then(|| self.next_attempt(attempts, expires_at));
        if let Err(error) = self.write_down(&id, &tag, next).await {
            tracing::warn!(mail = id, cause = ?error, "cannot record the outcome of a mail; it will be retried");
        }
        Delivery { kind, fate }
    }

    /// Drops the mails that are not worth sending any more; gives their number.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn mails_forget(&self) -> Result<u64> {
        let mut tx = self.store.write().await?;
        let dropped = tx.mails_forget(self.now()).await?;
        tx.commit().await?;
        Ok(dropped)
    }

    /// What lies in the outbox.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn mails_waiting(&self) -> Result<MailsWaiting> {
        self.store.read().await?.mails_waiting(self.now()).await
    }

    /// Opens what was sealed.
    fn letter(&self, mail: SealedMail) -> Result<Letter, Failure> {
        let broken = |what| Failure::new(Cause::Broken, what);
        let opened = self.sealing.open(&mail.sealed, &purpose(&mail.id, mail.kind, &mail.to));
        let opened = opened.ok_or_else(|| broken("it was sealed with another key, or altered since"))?;
        let params: Params = serde_json::from_slice(&opened).map_err(|_| broken("its parameters cannot be read"))?;
        let SealedMail { id, to, kind, language, expires_at, .. } = mail;
        Ok(Letter { id, to, kind, language, params, now: self.now(), expires_at })
    }

    fn next_attempt(&self, attempts: i64, expires_at: Timestamp) -> Timestamp {
        let mut random = [0; 4];
        self.entropy.fill(&mut random);
        next_attempt(attempts, self.now(), expires_at, u32::from_be_bytes(random))
    }

    /// Takes the mail out, or gives it back for later. If another has it by now, it is the other's.
    async fn write_down(&self, id: &str, tag: &str, next: Option<Timestamp>) -> Result<()> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match self.write_down_once(id, tag, next).await {
                Err(Error::Conflict | Error::Unavailable(_)) if tries > 0 => {}
                done => return done,
            }
        }
    }

    async fn write_down_once(&self, id: &str, tag: &str, next: Option<Timestamp>) -> Result<()> {
        let mut tx = self.store.write().await?;
        match next {
            None => tx.mail_finish(id, tag).await?,
            Some(next) => tx.mail_failed(id, tag, next, self.now()).await?,
        };
        tx.commit().await.map(|_| ())
    }
}

/// What a mail's parameters are sealed for: whoever writes another address beside them gets nothing.
fn purpose(id: &MailId, kind: MailKind, to: &Recipient) -> String {
    format!("mail {id} {} to {to}", kind.as_str())
}

/// The private cause of a row that cannot be read.
fn cause_of(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
