//! Outgoing mail: what sends it, and the job that sends what is due.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{
    config::Mail,
    turn::{pause, turn},
};
use crate::{
    domain::mail::MailKind,
    error::Result,
    mail::{Kept, Mailer, Post},
    metrics::Metrics,
    service::{Delivery, DeliveryOutcome, Service},
};

/// Mails under way at once, each over a connection of its own.
const AT_ONCE: usize = 4;
/// How often mails are looked for that another process has handed in, or that are to be tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often what lies in the outbox is counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How long the mails under way may take when the server stops. What is cut off, another process sends
/// once it is no longer held.
const TO_FINISH: Duration = Duration::from_secs(5);

/// What sends mails.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// What sends mails, if anything does.
    pub(super) post: Option<Arc<Post>>,
    /// The mails of a demo without a mail server.
    pub(super) kept: Option<Arc<Kept>>,
}

impl Outgoing {
    /// A demo without a mail server keeps its mails.
    pub(super) fn new(mail: Mail, dev: bool) -> Self {
        let Mail { server, templates } = mail;
        let kept = (dev && server.is_none()).then(Arc::<Kept>::default);
        let mailer = server.map(|smtp| Mailer::Smtp(Box::new(smtp))).or_else(|| kept.clone().map(Mailer::Kept));
        Self { post: mailer.map(|mailer| Arc::new(Post { templates, mailer })), kept }
    }
}

/// Sends what is due until the server ends.
pub(super) async fn send(service: Service, post: Arc<Post>, metrics: Arc<Metrics>, mut ended: watch::Receiver<bool>) {
    let mut under_way = JoinSet::new();
    loop {
        match service.outbox.claim_due(AT_ONCE.saturating_sub(under_way.len())).await {
            Ok(taken) => {
                for mail in taken {
                    let (service, post) = (service.clone(), post.clone());
                    under_way.spawn(async move { service.outbox.deliver(&post, mail).await });
                }
            }
            Err(error) => tracing::warn!(cause = ?error, "cannot look for due mails"),
        }
        if under_way.is_empty() {
            post.close_idle().await;
        }
        tokio::select! {
            biased;
            _ = ended.wait_for(|end| *end) => break,
            Some(done) = under_way.join_next() => count(&metrics, done.ok()),
            () = service.store().mail_handed_in() => {}
            () = pause(LOOK_EVERY) => {}
        }
    }
    let rest = async {
        while let Some(done) = under_way.join_next().await {
            count(&metrics, done.ok());
        }
        post.close_idle().await;
    };
    if tokio::time::timeout(TO_FINISH, rest).await.is_err() {
        tracing::warn!("stopped with mails in flight; they will be retried");
    }
}

fn count(metrics: &Metrics, done: Option<Delivery>) {
    let Some(Delivery { kind, outcome }) = done else { return };
    match outcome {
        DeliveryOutcome::Sent => metrics.mails().sent(kind.map_or("", MailKind::as_str)),
        DeliveryOutcome::Retry(cause) => metrics.mails().failed(cause.as_str()),
        DeliveryOutcome::GivenUp(cause) => {
            metrics.mails().failed(cause.as_str());
            metrics.mails().dropped(cause.as_str(), 1);
        }
    }
}

/// Counts what lies in the outbox, and drops what is not worth sending any more, with or without a mail server.
pub(super) async fn keep_count(service: Service, metrics: Arc<Metrics>, mut ended: watch::Receiver<bool>) {
    loop {
        if let Err(error) = count_once(&service, &metrics).await {
            tracing::warn!(cause = ?error, "cannot count the outbox");
        }
        if !turn(COUNT_EVERY, &mut ended).await {
            return;
        }
    }
}

async fn count_once(service: &Service, metrics: &Metrics) -> Result<()> {
    let waiting = service.outbox.backlog().await?;
    let now = service.now();
    let oldest = waiting.oldest.map_or(Duration::ZERO, |at| now.since(at).duration());
    metrics.mails().set_waiting(waiting.all, oldest);
    if waiting.expired > 0 {
        let dropped = service.outbox.delete_expired().await?;
        metrics.mails().dropped("expired", dropped);
        tracing::warn!(mails = dropped, "dropped mails that expired before they were sent");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
