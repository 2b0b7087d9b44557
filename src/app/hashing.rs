//! The password hashing threads and their metrics.

use std::{io, sync::Arc};

use super::config;
use crate::{
    entropy::Entropy,
    metrics::{Hashing, Metrics},
    passwords::{self, Params, Passwords},
};

/// Starts the threads.
pub(super) fn start(hashing: config::Hashing, entropy: Arc<dyn Entropy>) -> io::Result<Passwords> {
    let config::Hashing { threads, queue, memory_mib } = hashing;
    let settings = passwords::PoolConfig {
        params: Params::default(),
        threads: threads as usize,
        queue: queue as usize,
        memory_kib: u64::from(memory_mib) * 1024,
    };
    Passwords::start(settings, entropy)
}

/// Registers the hashing metrics.
pub(super) fn observe(metrics: &mut Metrics, passwords: &Passwords) {
    let passwords = passwords.clone();
    metrics.observe_hashing(move || {
        let figures = passwords.figures();
        Hashing {
            waiting: figures.waiting as u64,
            memory_bytes: figures.memory_kib * 1024,
            hashed: figures.hashed,
            seconds: figures.took.as_secs_f64(),
            unusable: figures.unusable,
            refused: [
                ("queue_full", figures.queue_full),
                ("account_waiting", figures.account_waiting),
                ("deadline", figures.deadline),
                ("evicted", figures.evicted),
            ],
        }
    });
}
