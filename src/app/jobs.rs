//! Background jobs: following the change feed, rotating keys, deleting expired rows.

mod told;

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use self::told::{News, Told};
use super::{machine, mail, pause::pause_unless_ended};
use crate::{
    domain::process::SAID_EVERY,
    error::Result,
    grpc::HealthHandle,
    mail::Post,
    metrics::Metrics,
    service::{Resealed, Service, SweepProgress, SweepStep},
};

/// How often to confirm the change feed.
const CONFIRM_EVERY: Duration = Duration::from_millis(200);
/// How often to try whether a database that refused a change takes changes again.
const TRY_CHANGE_EVERY: Duration = Duration::from_secs(1);
/// How long to wait before reconnecting for the database's notifications.
const RECONNECT_EVERY: Duration = Duration::from_secs(5);
/// How often to send watchers a heartbeat.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// How often to check for due key rotations.
const ROTATE_EVERY: Duration = Duration::from_secs(30);
/// Pause between two sweeps that delete expired rows.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// How often to look for rows that are sealed under an older version of the sealing key.
const RESEAL_EVERY: Duration = Duration::from_hours(1);
/// Pause between two steps of a sweep. A sweep over ten million sessions takes 42 minutes.
const SWEEP_STEP: Duration = Duration::from_millis(250);

/// The jobs of a running server.
#[derive(Debug)]
pub(super) struct Jobs(JoinSet<()>);

impl Jobs {
    /// Where other jobs of the process are added.
    pub(super) fn others(&mut self) -> &mut JoinSet<()> {
        &mut self.0
    }

    /// Waits until all have ended. Those that wait for the database or a mail server at `limit` are ended there.
    pub(super) async fn finish(mut self, limit: Instant) {
        let all = async { while self.0.join_next().await.is_some() {} };
        if timeout_at(limit, all).await.is_err() {
            tracing::warn!("a job waits for an answer that does not come; it is ended");
            self.0.abort_all();
        }
    }
}

/// Starts all jobs. When `leaving` becomes true, this process says that it is about to stop. When `stopping` does, it
/// stops serving, but calls in flight can still sign. When `ended` does, all jobs end.
pub(super) fn start(
    service: &Service,
    metrics: &Arc<Metrics>,
    health: HealthHandle,
    post: Option<&Arc<Post>>,
    (leaving, stopping, ended): (&watch::Receiver<bool>, &watch::Receiver<bool>, &watch::Receiver<bool>),
) -> Jobs {
    let mut jobs = JoinSet::new();
    jobs.spawn(mail::count_outbox(service.clone(), metrics.clone(), ended.clone()));
    if let Some(post) = post {
        jobs.spawn(mail::send_due(service.clone(), post.clone(), metrics.clone(), ended.clone()));
    }
    jobs.spawn(follow_feed(service.clone(), metrics.clone(), health, leaving.clone(), ended.clone()));
    jobs.spawn(try_changes(service.clone(), ended.clone()));
    jobs.spawn(listen_for_changes(service.clone(), ended.clone()));
    jobs.spawn(send_heartbeats(service.clone(), stopping.clone(), ended.clone()));
    jobs.spawn(rotate_keys(service.clone(), ended.clone()));
    jobs.spawn(sweep_expired(service.clone(), ended.clone()));
    jobs.spawn(reseal_rows(service.clone(), ended.clone()));
    jobs.spawn(say_it_runs(service.clone(), ended.clone()));
    Jobs(jobs)
}

async fn follow_feed(
    service: Service,
    metrics: Arc<Metrics>,
    health: HealthHandle,
    leaving: watch::Receiver<bool>,
    mut ended: watch::Receiver<bool>,
) {
    let (mut was_serving, mut told) = (metrics.is_ready(), Told::default());
    while pause_unless_ended(CONFIRM_EVERY, &mut ended).await {
        match told.news(&service.live.confirm().await) {
            News::Nothing => {}
            News::Failure(error) => {
                tracing::warn!(reason = error.reason().as_str(), cause = ?error, "cannot confirm the change feed");
            }
            News::Over => tracing::info!("the change feed is confirmed again"),
        }
        let serving = service.live.is_fresh() && service.store().takes_changes() && !*leaving.borrow();
        if serving != was_serving {
            health.set(serving).await;
            metrics.set_ready(serving);
            was_serving = serving;
        }
    }
}

/// After a failed change, tries until the database takes changes again: only then is this process ready.
async fn try_changes(service: Service, mut ended: watch::Receiver<bool>) {
    let mut told = Told::default();
    while pause_unless_ended(TRY_CHANGE_EVERY, &mut ended).await {
        match told.news(&service.store().try_change().await) {
            News::Nothing => {}
            News::Failure(error) => {
                tracing::warn!(reason = error.reason().as_str(), cause = ?error, "the database takes no changes");
            }
            News::Over => tracing::info!("the database takes changes again"),
        }
    }
}

/// Confirms the feed as soon as the database notifies us of a change by another process. This only reduces latency:
/// without this connection, the feed is still polled.
async fn listen_for_changes(service: Service, mut ended: watch::Receiver<bool>) {
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
        if !pause_unless_ended(RECONNECT_EVERY, &mut ended).await {
            return;
        }
    }
}

/// Sends watchers heartbeats while this process is known to be up to date.
async fn send_heartbeats(service: Service, mut stopping: watch::Receiver<bool>, mut ended: watch::Receiver<bool>) {
    while !*stopping.borrow_and_update() && pause_unless_ended(HEARTBEAT_EVERY, &mut ended).await {
        service.live.send_heartbeat();
    }
    service.live.end_watchers();
}

async fn rotate_keys(service: Service, mut ended: watch::Receiver<bool>) {
    loop {
        match service.signing_keys.rotate_due().await {
            Ok(0) => {}
            Ok(steps) => tracing::info!(steps, "signing keys rotated"),
            Err(error) => tracing::warn!(cause = ?error, "cannot rotate signing keys"),
        }
        if !pause_unless_ended(ROTATE_EVERY, &mut ended).await {
            return;
        }
    }
}

/// Seals rows again that a rotation of the sealing key has left.
async fn reseal_rows(service: Service, mut ended: watch::Receiver<bool>) {
    loop {
        match service.sealing.reseal().await {
            Ok(Resealed { rows: 0, left: 0 }) => {}
            Ok(Resealed { rows, left }) => tracing::info!(rows, left, "rows sealed again with the sealing key in use"),
            Err(error) => tracing::warn!(cause = ?error, "cannot seal rows again"),
        }
        if !pause_unless_ended(RESEAL_EVERY, &mut ended).await {
            return;
        }
    }
}

/// Says every few seconds that this process runs, and at last that it does not.
async fn say_it_runs(service: Service, mut ended: watch::Receiver<bool>) {
    let host = machine::host_name();
    let every = Duration::from_millis(SAID_EVERY.millis().unsigned_abs());
    let mut told = Told::default();
    while pause_unless_ended(every, &mut ended).await {
        match told.news(&service.presence.say(&host).await) {
            News::Nothing => {}
            News::Failure(error) => tracing::warn!(cause = ?error, "cannot say that this process runs"),
            News::Over => tracing::info!("said again that this process runs"),
        }
    }
    if let Err(error) = service.presence.leave().await {
        tracing::warn!(cause = ?error, "cannot say that this process ends; others notice within half a minute");
    }
}

/// Sweeps all sessions step by step, then pauses and starts again.
async fn sweep_expired(service: Service, mut ended: watch::Receiver<bool>) {
    let (mut sweep, mut pause) = (SweepProgress::default(), SWEEP_EVERY);
    while pause_unless_ended(pause, &mut ended).await {
        pause = match service.sweeper.step(&mut sweep).await {
            Ok(step) => {
                let SweepStep { deleted: sessions, counters_deleted: counts, audit_deleted: events, .. } = step;
                if sessions + counts + events > 0 {
                    tracing::debug!(sessions, counts, events, "deleted expired rows");
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
