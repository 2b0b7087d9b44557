//! Work that nobody calls for: following the feed, rotating keys, sweeping.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{mail, turn::turn};
use crate::{
    error::Result,
    grpc::HealthHandle,
    mail::Post,
    metrics::Metrics,
    service::{Service, SweepProgress},
};

/// How often the feed is confirmed.
const CONFIRM_EVERY: Duration = Duration::from_millis(200);
/// How long a lost connection for the database's news stays lost.
const LISTEN_EVERY: Duration = Duration::from_secs(5);
/// How often watchers get a sign of life.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How often due rotations are looked for.
const ROTATE_EVERY: Duration = Duration::from_secs(30);
/// How long after its end the walk that deletes what has expired begins again.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// How long it pauses between its steps: ten million sessions are looked at in 42 minutes.
const SWEEP_STEP: Duration = Duration::from_millis(250);

/// The jobs of a running server.
#[derive(Debug)]
pub(super) struct Jobs(JoinSet<()>);

impl Jobs {
    /// Waits until all have ended.
    pub(super) async fn finish(mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

/// Starts all jobs. When `stopping` turns true this process serves no more, but the calls under way
/// still sign; when `ended` does, all jobs end.
pub(super) fn start(
    service: &Service,
    metrics: &Arc<Metrics>,
    health: HealthHandle,
    post: Option<&Arc<Post>>,
    stopping: &watch::Receiver<bool>,
    ended: &watch::Receiver<bool>,
) -> Jobs {
    let mut jobs = JoinSet::new();
    jobs.spawn(mail::keep_count(service.clone(), metrics.clone(), ended.clone()));
    if let Some(post) = post {
        jobs.spawn(mail::send(service.clone(), post.clone(), metrics.clone(), ended.clone()));
    }
    jobs.spawn(follow(service.clone(), metrics.clone(), health, stopping.clone(), ended.clone()));
    jobs.spawn(wake(service.clone(), ended.clone()));
    jobs.spawn(beat(service.clone(), stopping.clone(), ended.clone()));
    jobs.spawn(rotate(service.clone(), ended.clone()));
    jobs.spawn(sweep(service.clone(), ended.clone()));
    Jobs(jobs)
}

async fn follow(
    service: Service,
    metrics: Arc<Metrics>,
    health: HealthHandle,
    stopping: watch::Receiver<bool>,
    mut ended: watch::Receiver<bool>,
) {
    let mut was_serving = true;
    while turn(CONFIRM_EVERY, &mut ended).await {
        if let Err(error) = service.live.confirm().await {
            tracing::warn!(reason = error.reason().as_str(), cause = ?error, "cannot confirm the change feed");
        }
        let serving = service.live.is_fresh() && !*stopping.borrow();
        if serving != was_serving {
            health.set(serving).await;
            metrics.set_ready(serving);
            was_serving = serving;
        }
    }
}

/// Confirms the feed as soon as the database says that another process has written to it. It only saves
/// waiting: without this connection the feed is followed all the same.
async fn wake(service: Service, mut ended: watch::Receiver<bool>) {
    loop {
        let listening = async {
            let mut wake = service.store().listen().await?;
            loop {
                wake.grown().await?;
                service.live.confirm().await?;
            }
        };
        let lost: Result<Infallible> = tokio::select! {
            biased;
            _ = ended.wait_for(|end| *end) => return,
            lost = listening => lost,
        };
        let Err(error) = lost;
        tracing::debug!(cause = ?error, "cannot listen for the database's notifications");
        if !turn(LISTEN_EVERY, &mut ended).await {
            return;
        }
    }
}

/// Tells those who watch that nothing is missing, as long as that is known.
async fn beat(service: Service, mut stopping: watch::Receiver<bool>, mut ended: watch::Receiver<bool>) {
    while !*stopping.borrow_and_update() && turn(BEAT_EVERY, &mut ended).await {
        service.live.send_heartbeat();
    }
    service.live.end_watchers();
}

async fn rotate(service: Service, mut ended: watch::Receiver<bool>) {
    loop {
        match service.signing_keys.rotate_due().await {
            Ok(0) => {}
            Ok(steps) => tracing::info!(steps, "signing keys rotated"),
            Err(error) => tracing::warn!(cause = ?error, "cannot rotate signing keys"),
        }
        if !turn(ROTATE_EVERY, &mut ended).await {
            return;
        }
    }
}

/// Walks over all sessions, step by step, and pauses before it begins again.
async fn sweep(service: Service, mut ended: watch::Receiver<bool>) {
    let (mut sweep, mut pause) = (SweepProgress::default(), SWEEP_EVERY);
    while turn(pause, &mut ended).await {
        pause = match service.sweeper.step(&mut sweep).await {
            Ok(step) => {
                if step.deleted + step.counters_deleted > 0 {
                    tracing::debug!(sessions = step.deleted, counts = step.counters_deleted, "deleted expired rows");
                }
                if step.pass_done { SWEEP_EVERY } else { SWEEP_STEP }
            }
            Err(error) => {
                tracing::warn!(cause = ?error, "cannot delete expired rows");
                SWEEP_EVERY
            }
        }
    }
}
