//! Open loop: requests are sent at fixed times, whatever the outcome of earlier ones. Shows latency as
//! independent callers see it, counted from when a request should have been sent.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Context;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{Caller, Outcome, Window, closed::UsageBaseline, recorder::Recorder};
use crate::stats::{Measurement, float};

/// When each request is due.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    began: Instant,
    /// Requests per second.
    rate: f64,
    until: Instant,
}

impl Schedule {
    /// When request `n` is due, or `None` after the end.
    fn at(self, n: u64) -> Option<Instant> {
        let at = self.began + Duration::from_secs_f64(float(n) / self.rate);
        (at < self.until).then_some(at)
    }

    /// Sends the due time of each request when it is due.
    fn run(self, due: &UnboundedSender<Instant>) {
        let mut n = 0;
        while let Some(at) = self.at(n) {
            let now = Instant::now();
            if now < at {
                // The runtime's timer is too coarse for this.
                thread::park_timeout(at - now);
                continue;
            }
            if due.send(at).is_err() {
                return;
            }
            n += 1;
        }
    }
}

/// Callers without a request in flight; the one that has been idle longest comes first.
type IdleCallers<C> = Arc<Mutex<VecDeque<C>>>;

/// Sends `rate` requests per second through idle callers, and returns the callers that can continue.
pub(crate) async fn open_loop<C: Caller>(
    callers: Vec<C>,
    rate: f64,
    window: Window,
    server: u32,
) -> anyhow::Result<(Measurement, Vec<C>)> {
    let recorder = Arc::new(Recorder::new(Instant::now(), window));
    let (from, to) = recorder.bounds();
    let schedule = Schedule { began: Instant::now(), rate, until: to };
    let (announce, due) = unbounded_channel();
    let timing = thread::spawn(move || schedule.run(&announce));
    let idle: IdleCallers<C> = Arc::new(Mutex::new(callers.into()));
    let work = async {
        let sending = tokio::spawn(send(due, idle.clone(), recorder.clone()));
        let used = UsageBaseline::at(from, server).await.usage_until(to).await;
        sending.await?;
        anyhow::Ok(recorder.take(to).with_usage_of(&used))
    };
    let measured = timeout(window.time_limit(), work).await.context("requests did not finish in time")??;
    timing.join().map_err(|_| anyhow::anyhow!("the schedule thread panicked"))?;
    let left = std::mem::take(&mut *idle.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((measured, left.into()))
}

/// Sends requests as they fall due, then waits for the last responses.
async fn send<C: Caller>(mut due: UnboundedReceiver<Instant>, idle: IdleCallers<C>, recorder: Arc<Recorder>) {
    let mut sent = JoinSet::new();
    while let Some(at) = due.recv().await {
        let caller = idle.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(mut caller) = caller else {
            recorder.record_unsent(at);
            continue;
        };
        let (idle, recorder) = (idle.clone(), recorder.clone());
        sent.spawn(async move {
            let outcome = caller.call().await;
            let finished = matches!(outcome, Outcome::Finished);
            // Counted at the time it was due, so that late responses are not lost at the end.
            if recorder.record(outcome, at, at.elapsed()) || finished {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push_back(caller);
            }
        });
        while sent.try_join_next().is_some() {}
    }
    while sent.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Failure;

    #[test]
    fn requests_are_due_at_fixed_times_until_the_end() {
        let began = Instant::now();
        let schedule = Schedule { began, rate: 200.0, until: began + Duration::from_millis(12) };
        let ms = |n| schedule.at(n).map(|at| (at - began).as_micros());
        assert_eq!([ms(0), ms(1), ms(2), ms(3)], [Some(0), Some(5_000), Some(10_000), None]);
    }

    struct Slow;

    impl Caller for Slow {
        async fn call(&mut self) -> Outcome {
            tokio::time::sleep_until(Instant::now() + Duration::from_millis(150)).await;
            Outcome::Failed(Failure { label: "SLOW".to_owned(), lost: false })
        }
    }

    #[tokio::test]
    async fn requests_without_an_idle_caller_are_counted() {
        let window = Window { warmup: Duration::ZERO, measured: Duration::from_millis(300) };
        let (measured, left) = open_loop(vec![Slow], 100.0, window, std::process::id()).await.unwrap();
        let sent = measured.failed_with("SLOW").count();
        assert_eq!((sent + measured.unsent, left.len()), (30, 1));
        assert!((1..=3).contains(&sent), "{sent}");
    }
}
