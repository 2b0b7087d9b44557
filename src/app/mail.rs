//! Outgoing mail: the mailer and the job that sends due mails.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{
    config::Mail,
    pause::{pause, pause_unless_ended},
};
use crate::{
    domain::mail::MailKind,
    error::Result,
    mail::{Kept, Mailer, Post},
    metrics::Metrics,
    service::{Delivery, DeliveryOutcome, Service},
};

/// Maximum mails in flight, each on its own connection.
const MAX_IN_FLIGHT: usize = 4;
/// How often to look for mails that another process queued or that are due for a retry.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How often to count the mails in the outbox.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How long mails in flight may take when the server stops. Another process sends the rest once their leases expire.
const FINISH_TIMEOUT: Duration = Duration::from_secs(4);

/// Where mails go.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Sends the mails, if anything does.
    pub(super) post: Option<Arc<Post>>,
    /// The mails kept by a demo without a mail server.
    pub(super) kept: Option<Arc<Kept>>,
}

impl Outgoing {
    /// Uses the mail server if one is configured; otherwise a demo keeps its mails.
    pub(super) fn new(mail: Mail, dev: bool) -> Self {
        let Mail { server, templates } = mail;
        let kept = (dev && server.is_none()).then(Arc::<Kept>::default);
        let mailer = server.map(|smtp| Mailer::Smtp(Box::new(smtp))).or_else(|| kept.clone().map(Mailer::Kept));
        Self { post: mailer.map(|mailer| Arc::new(Post { templates, mailer })), kept }
    }
}

/// Sends due mails until the server ends.
pub(super) async fn send_due(
    service: Service,
    post: Arc<Post>,
    metrics: Arc<Metrics>,
    mut ended: watch::Receiver<bool>,
) {
    let mut in_flight = JoinSet::new();
    loop {
        match service.outbox.claim_due(MAX_IN_FLIGHT.saturating_sub(in_flight.len())).await {
            Ok(taken) => {
                for mail in taken {
                    let (service, post) = (service.clone(), post.clone());
                    in_flight.spawn(async move { service.outbox.deliver(&post, mail).await });
                }
            }
            Err(error) => tracing::warn!(cause = ?error, "cannot look for due mails"),
        }
        if in_flight.is_empty() {
            post.close_idle().await;
        }
        tokio::select! {
            biased;
            _ = ended.wait_for(|end| *end) => break,
            Some(done) = in_flight.join_next() => count(&metrics, done.ok()),
            () = service.store().mail_handed_in() => {}
            () = pause(POLL_EVERY) => {}
        }
    }
    let rest = async {
        while let Some(done) = in_flight.join_next().await {
            count(&metrics, done.ok());
        }
        post.close_idle().await;
    };
    if tokio::time::timeout(FINISH_TIMEOUT, rest).await.is_err() {
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

/// Counts the outbox and drops expired mails. Runs with or without a mail server.
pub(super) async fn count_outbox(service: Service, metrics: Arc<Metrics>, mut ended: watch::Receiver<bool>) {
    loop {
        if let Err(error) = count_once(&service, &metrics).await {
            tracing::warn!(cause = ?error, "cannot count the outbox");
        }
        if !pause_unless_ended(COUNT_EVERY, &mut ended).await {
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
