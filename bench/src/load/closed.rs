//! Closed loop: each caller sends its next request when it has the answer. Shows capacity.

use std::sync::Arc;

use anyhow::Context;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{Caller, Outcome, Window, recorder::Recorder};
use crate::{
    machine::{Usage, busy_ms},
    stats::Measured,
};

/// Lets all callers ask until the window ends, and gives back those that may go on. `server` is the
/// process whose use of the processor is told.
pub(crate) async fn closed<C: Caller>(
    callers: Vec<C>,
    window: Window,
    server: u32,
) -> anyhow::Result<(Measured, Vec<C>)> {
    let recorder = Arc::new(Recorder::new(Instant::now(), window));
    let (from, to) = recorder.bounds();
    let mut asking = JoinSet::new();
    for caller in callers {
        asking.spawn(ask(caller, recorder.clone(), to));
    }
    let work = async {
        let before = Before::at(from, server).await;
        // All may have run out of things to ask.
        let mut left = Vec::new();
        let ended = loop {
            tokio::select! {
                () = sleep_until(to) => break to,
                next = asking.join_next() => match next {
                    Some(caller) => left.extend(caller?),
                    None => break Instant::now(),
                },
            }
        };
        let used = before.until(ended).await;
        let mut measured = recorder.measured(ended).using(&used);
        while let Some(caller) = asking.join_next().await {
            left.extend(caller?);
        }
        // Chains may break to the last answer.
        measured.breaks += recorder.measured(ended).breaks;
        anyhow::Ok((measured, left))
    };
    timeout(window.patience(), work).await.context("requests were not answered in time")?
}

/// What server and generator had used when the measured part began.
#[derive(Debug)]
pub(super) struct Before {
    id: u32,
    server: Usage,
    generator: Usage,
    all_ms: u64,
}

impl Before {
    /// Waits for the measured part.
    pub(super) async fn at(from: Instant, server: u32) -> Self {
        sleep_until(from).await;
        Self { id: server, server: Usage::of(server), generator: Usage::of(std::process::id()), all_ms: busy_ms() }
    }

    /// Waits for its end; what was used since.
    pub(super) async fn until(&self, to: Instant) -> Measured {
        sleep_until(to).await;
        let (server, generator) = (Usage::of(self.id), Usage::of(std::process::id()));
        let cpu_ms = server.cpu_ms.saturating_sub(self.server.cpu_ms);
        let generator_cpu_ms = generator.cpu_ms.saturating_sub(self.generator.cpu_ms);
        let others_cpu_ms = busy_ms().saturating_sub(self.all_ms + cpu_ms + generator_cpu_ms);
        Measured { server: Usage { cpu_ms, ..server }, generator_cpu_ms, others_cpu_ms, ..Measured::default() }
    }
}

async fn ask<C: Caller>(mut caller: C, recorder: Arc<Recorder>, to: Instant) -> Option<C> {
    loop {
        let sent = Instant::now();
        if sent >= to {
            return Some(caller);
        }
        let outcome = caller.call().await;
        let finished = matches!(outcome, Outcome::Finished);
        let at = Instant::now();
        if !recorder.note(outcome, at, at - sent) {
            return finished.then_some(caller);
        }
    }
}
