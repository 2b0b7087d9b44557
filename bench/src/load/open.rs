//! Open loop: requests are sent at fixed times, whatever became of those before. Shows latency as it is
//! for callers who do not wait for each other: it counts from when a request should have been sent.

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

use super::{Caller, Outcome, Window, closed::Before, recorder::Recorder};
use crate::stats::{Measured, float};

/// When each request is to be sent.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    began: Instant,
    /// Requests a second.
    rate: f64,
    until: Instant,
}

impl Schedule {
    /// When the `n`th is; nothing after the end.
    fn at(self, n: u64) -> Option<Instant> {
        let at = self.began + Duration::from_secs_f64(float(n) / self.rate);
        (at < self.until).then_some(at)
    }

    /// Announces each request when its time has come.
    fn follow(self, due: &UnboundedSender<Instant>) {
        let mut n = 0;
        while let Some(at) = self.at(n) {
            let now = Instant::now();
            if now < at {
                // The runtime's own timer is too coarse for this.
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

/// Callers that have no request under way; the one that has rested longest comes first.
type Free<C> = Arc<Mutex<VecDeque<C>>>;

/// Sends `rate` requests a second by whoever is free, and gives back the callers that may go on.
pub(crate) async fn open<C: Caller>(
    callers: Vec<C>,
    rate: f64,
    window: Window,
    server: u32,
) -> anyhow::Result<(Measured, Vec<C>)> {
    let recorder = Arc::new(Recorder::new(Instant::now(), window));
    let (from, to) = recorder.bounds();
    let schedule = Schedule { began: Instant::now(), rate, until: to };
    let (announce, due) = unbounded_channel();
    let timing = thread::spawn(move || schedule.follow(&announce));
    let free: Free<C> = Arc::new(Mutex::new(callers.into()));
    let work = async {
        let sending = tokio::spawn(send(due, free.clone(), recorder.clone()));
        let used = Before::at(from, server).await.until(to).await;
        sending.await?;
        anyhow::Ok(recorder.measured(to).using(&used))
    };
    let measured = timeout(window.patience(), work).await.context("requests were not answered in time")??;
    timing.join().map_err(|_| anyhow::anyhow!("the schedule failed"))?;
    let left = std::mem::take(&mut *free.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((measured, left.into()))
}

/// Sends what is due until nothing more is, and waits for the last answers.
async fn send<C: Caller>(mut due: UnboundedReceiver<Instant>, free: Free<C>, recorder: Arc<Recorder>) {
    let mut sent = JoinSet::new();
    while let Some(at) = due.recv().await {
        let caller = free.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(mut caller) = caller else {
            recorder.unsent(at);
            continue;
        };
        let (free, recorder) = (free.clone(), recorder.clone());
        sent.spawn(async move {
            let outcome = caller.call().await;
            let finished = matches!(outcome, Outcome::Finished);
            // It counts where it should have been sent: late answers are not lost at the end.
            if recorder.note(outcome, at, at.elapsed()) || finished {
                free.lock().unwrap_or_else(PoisonError::into_inner).push_back(caller);
            }
        });
        while sent.try_join_next().is_some() {}
    }
    while sent.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Refusal;

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
            Outcome::Refused(Refusal { label: "SLOW".to_owned(), lost: false })
        }
    }

    #[tokio::test]
    async fn what_nobody_is_free_to_send_is_counted_and_not_forgotten() {
        let window = Window { warmup: Duration::ZERO, measured: Duration::from_millis(300) };
        let (measured, left) = open(vec![Slow], 100.0, window, std::process::id()).await.unwrap();
        let sent = measured.refused_with("SLOW").count();
        assert_eq!((sent + measured.unsent, left.len()), (30, 1));
        assert!((1..=3).contains(&sent), "{sent}");
    }
}
