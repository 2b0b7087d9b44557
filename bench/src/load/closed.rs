//! Closed loop: each caller sends its next request when it has the response. Shows capacity.

use std::sync::Arc;

use anyhow::Context;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{Caller, Outcome, Window, recorder::Recorder};
use crate::{
    machine::{Usage, busy_ms},
    stats::Measurement,
};

/// Runs all callers until the window ends, and returns those that can continue. The processor use of the
/// process `server` is included.
pub(crate) async fn closed_loop<C: Caller>(
    callers: Vec<C>,
    window: Window,
    server: u32,
) -> anyhow::Result<(Measurement, Vec<C>)> {
    let recorder = Arc::new(Recorder::new(Instant::now(), window));
    let (from, to) = recorder.bounds();
    let mut running = JoinSet::new();
    for caller in callers {
        running.spawn(call_repeatedly(caller, recorder.clone(), to));
    }
    let work = async {
        let baseline = UsageBaseline::at(from, server).await;
        // All callers may run out of work early.
        let mut left = Vec::new();
        let ended = loop {
            tokio::select! {
                () = sleep_until(to) => break to,
                next = running.join_next() => match next {
                    Some(caller) => left.extend(caller?),
                    None => break Instant::now(),
                },
            }
        };
        let used = baseline.usage_until(ended).await;
        let mut measured = recorder.take(ended).with_usage_of(&used);
        while let Some(caller) = running.join_next().await {
            left.extend(caller?);
        }
        // Chains may still break on their last response.
        measured.breaks += recorder.take(ended).breaks;
        anyhow::Ok((measured, left))
    };
    timeout(window.time_limit(), work).await.context("requests did not finish in time")?
}

/// What server and generator had used when the counted part started.
#[derive(Debug)]
pub(super) struct UsageBaseline {
    id: u32,
    server: Usage,
    generator: Usage,
    all_ms: u64,
}

impl UsageBaseline {
    /// Waits for the start of the counted part.
    pub(super) async fn at(from: Instant, server: u32) -> Self {
        sleep_until(from).await;
        Self { id: server, server: Usage::of(server), generator: Usage::of(std::process::id()), all_ms: busy_ms() }
    }

    /// Waits for its end; returns the use since the start.
    pub(super) async fn usage_until(&self, to: Instant) -> Measurement {
        sleep_until(to).await;
        let (server, generator) = (Usage::of(self.id), Usage::of(std::process::id()));
        let cpu_ms = server.cpu_ms.saturating_sub(self.server.cpu_ms);
        let generator_cpu_ms = generator.cpu_ms.saturating_sub(self.generator.cpu_ms);
        let others_cpu_ms = busy_ms().saturating_sub(self.all_ms + cpu_ms + generator_cpu_ms);
        Measurement { server: Usage { cpu_ms, ..server }, generator_cpu_ms, others_cpu_ms, ..Measurement::default() }
    }
}

async fn call_repeatedly<C: Caller>(mut caller: C, recorder: Arc<Recorder>, to: Instant) -> Option<C> {
    loop {
        let sent = Instant::now();
        if sent >= to {
            return Some(caller);
        }
        let outcome = caller.call().await;
        let finished = matches!(outcome, Outcome::Finished);
        let at = Instant::now();
        if !recorder.record(outcome, at, at - sent) {
            return finished.then_some(caller);
        }
    }
}
