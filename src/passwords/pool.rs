//! The hashing threads, and the interface for callers.

mod job;
mod same;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use self::job::{HashJob, Verified};
use super::{
    Account, Applicant, Figures, HashCost, HashError, PasswordVerdict, Phc, PoolConfig, Prefix, Salts, UnusableHash,
    argon::{Arena, memory_for},
    memory::{MemoryBudget, fits},
    pace::Pace,
    padding::Padding,
    phc::Stored,
    priority,
    queue::{Evicted, NextWork, PlaceId, Queue, Refused},
    turns::{MAX_WAITING, NoTurn, Turn, Turns},
};
use crate::secret::Password;

/// Hashes and checks passwords, on its own threads. Cheap to clone. The threads end when the last clone is dropped.
#[derive(Clone)]
pub struct Passwords {
    pool: Arc<Pool>,
    _open: Arc<Open>,
}

/// Ends the threads when dropped.
struct Open(Arc<Pool>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.work.notify_all();
    }
}

struct Pool {
    state: Mutex<State>,
    /// Notified when there is work, or memory is short.
    work: Condvar,
    /// Notified when memory was given back.
    memory: Condvar,
    config: PoolConfig,
    salts: Salts,
    turns: Turns,
}

struct State {
    queue: Queue<HashJob>,
    memory: MemoryBudget,
    pace: Pace,
    padding: Padding,
    figures: Figures,
    closed: bool,
}

/// A place in the queue. Dropping it frees the place.
pub struct Slot {
    passwords: Passwords,
    place: PlaceId,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.place).finish()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let withdrawn = self.passwords.pool.state().queue.withdraw(self.place);
        // Wipe the password without holding the lock.
        drop(withdrawn);
    }
}

impl Slot {
    /// Checks a password against a stored hash. Without one it is wrong, at the same cost.
    ///
    /// # Errors
    /// [`HashError::Busy`] if the place was lost to another sign-in; [`HashError::Gone`] if the deadline passed.
    pub async fn verify(self, password: Password, stored: Option<Phc>) -> Result<PasswordVerdict, HashError> {
        let (answer, answered) = oneshot::channel();
        let pool = &self.passwords.pool;
        let lost = pool.state().queue.attach(self.place, HashJob::Verify { password, stored, answer });
        if lost.is_err() {
            return Err(pool.busy());
        }
        pool.work.notify_one();
        let Verified { verdict, not_before } = answered.await.map_err(|_| HashError::Gone)??;
        if !matches!(verdict, PasswordVerdict::Right { .. }) {
            tokio::time::sleep_until(not_before).await;
        }
        Ok(verdict)
    }
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(config: PoolConfig, salts: Salts) -> std::io::Result<Self> {
        let passwords = Self::without_threads(config, salts);
        for n in 0..passwords.pool.config.threads {
            let pool = passwords.pool.clone();
            thread::Builder::new().name(format!("hash-{n}")).spawn(move || pool.run_thread(n))?;
        }
        Ok(passwords)
    }

    fn without_threads(config: PoolConfig, salts: Salts) -> Self {
        let threads = config.threads.max(1);
        let part = u64::from(config.params.memory_kib);
        // Every thread must be able to hash at the same time.
        let memory_kib = config.memory_kib.max(part * threads as u64);
        let state = Mutex::new(State {
            queue: Queue::new(config.queue),
            memory: MemoryBudget::new(memory_kib, part, threads),
            pace: Pace::new(threads),
            padding: Padding::default(),
            figures: Figures::default(),
            closed: false,
        });
        let config = PoolConfig { threads, memory_kib, ..config };
        let (work, memory) = (Condvar::new(), Condvar::new());
        let pool = Arc::new(Pool { state, work, memory, config, salts, turns: Turns::default() });
        Self { _open: Arc::new(Open(pool.clone())), pool }
    }

    /// Waits until the other sign-ins at an account are done. The turn is kept until this one is answered.
    ///
    /// # Errors
    /// [`HashError::AccountBusy`] if several are waiting already; [`HashError::Gone`] if the deadline passed.
    pub async fn turn(&self, account: Account, from: Prefix, deadline: Option<Instant>) -> Result<Turn, HashError> {
        self.pool.turns.take(account, from, deadline).await.map_err(|refused| match refused {
            NoTurn::Busy => {
                self.pool.state().figures.account_waiting += 1;
                self.pool.account_busy()
            }
            NoTurn::Gone => {
                self.pool.state().figures.deadline += 1;
                HashError::Gone
            }
        })
    }

    /// Takes a place in the queue for a sign-in, before anything is read from the database. Returns at once.
    ///
    /// # Errors
    /// [`HashError::Busy`] if the queue is full, or its turn would come after the deadline;
    /// [`HashError::AccountBusy`] if the account has a place already; [`HashError::Gone`] if the deadline has passed.
    pub fn admit(&self, applicant: &Applicant) -> Result<Slot, HashError> {
        let now = Instant::now();
        let mut guard = self.pool.state();
        let state = &mut *guard;
        let admitted = state.queue.admit(applicant, now, &state.pace);
        match &admitted {
            Ok((_, None)) => {}
            Ok((_, Some(_))) => state.figures.evicted += 1,
            Err(Refused::Full) => state.figures.queue_full += 1,
            Err(Refused::AccountWaits) => state.figures.account_waiting += 1,
            Err(Refused::TooLate | Refused::Expired) => state.figures.deadline += 1,
        }
        drop(guard);
        match admitted {
            Ok((place, evicted)) => {
                if let Some(Evicted(Some(work))) = evicted {
                    work.refuse(self.pool.busy());
                }
                Ok(Slot { passwords: self.clone(), place })
            }
            Err(Refused::Expired) => Err(HashError::Gone),
            Err(Refused::AccountWaits) => Err(self.pool.account_busy()),
            Err(_) => Err(self.pool.busy()),
        }
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`HashError::Busy`], at once, if too many new passwords are waiting.
    pub async fn hash(&self, password: Password) -> Result<Phc, HashError> {
        let (answer, answered) = oneshot::channel();
        let admitted = self.pool.state().queue.admit_storing(HashJob::Hash { password, answer });
        let Ok(place) = admitted else {
            self.pool.state().figures.queue_full += 1;
            return Err(self.pool.busy());
        };
        let _slot = Slot { passwords: self.clone(), place };
        self.pool.work.notify_one();
        answered.await.map_err(|_| HashError::Gone)?
    }

    /// The figures so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let state = self.pool.state();
        Figures { waiting: state.queue.waiting(), memory_kib: state.memory.used(), ..state.figures }
    }

    /// Fails if this process cannot check a hash of this cost.
    ///
    /// # Errors
    /// What it needs and what there is.
    pub fn check_cost(&self, cost: HashCost) -> Result<(), UnusableHash> {
        fits(cost.memory_kib, self.pool.config.memory_kib)
    }

    /// Tells that there are hashes of other systems which take up to so many times as long as one of Chancery's own.
    pub fn expect(&self, times: u64) {
        self.pool.state().padding.expect(times);
    }

    /// The configuration in use.
    #[must_use]
    pub fn settings(&self) -> PoolConfig {
        self.pool.config
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sign-ins at one account are done after as many hashes as may wait.
    fn account_busy(&self) -> HashError {
        let pace = self.state().pace;
        HashError::AccountBusy { after: pace.retry_after(MAX_WAITING, &*self.salts) }
    }

    fn busy(&self) -> HashError {
        let (pace, waiting) = {
            let state = self.state();
            (state.pace, state.queue.waiting())
        };
        HashError::Busy { after: pace.retry_after(waiting, &*self.salts) }
    }

    /// The main loop of a thread.
    fn run_thread(&self, thread: usize) {
        priority::lower();
        let mut arena = Arena::default();
        while let Some(work) = self.next(&mut arena) {
            self.hash(thread, &mut arena, work);
        }
    }

    /// Waits for work. Returns nothing when the pool is closed. An idle thread gives up its memory if others need it.
    fn next(&self, arena: &mut Arena) -> Option<HashJob> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if arena.memory_kib() > 0 && state.memory.is_short() {
                drop(state);
                self.give_back(arena);
                state = self.state();
                continue;
            }
            let NextWork { work, expired } = state.queue.next(Instant::now());
            state.figures.deadline += expired.len() as u64;
            if let Some(work) = work {
                state.pace.begin();
                drop(state);
                drop(expired);
                return Some(work);
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Does a job and sends the answer.
    fn hash(&self, thread: usize, arena: &mut Arena, work: HashJob) {
        if work.is_abandoned() {
            return self.record(arena, None);
        }
        // One that cannot be checked costs what a wrong password costs.
        let (stored, unusable) = match work.stored().and_then(|stored| self.check_memory(stored)) {
            Ok(stored) => (stored, None),
            Err(problem) => (None, Some(problem)),
        };
        self.reserve_memory(thread, arena, stored.as_ref());
        let (params, salts, began) = (self.config.params, &*self.salts, Instant::now());
        // Sending fails only if the caller is gone.
        match work {
            HashJob::Hash { password, answer } => {
                let hash = arena.create(params, &password, salts);
                self.record(arena, Some(began.elapsed()));
                drop(answer.send(hash));
            }
            HashJob::Verify { password, answer, .. } => {
                let verdict = arena.verify(params, &password, stored.as_ref(), salts);
                let took = began.elapsed();
                self.record(arena, Some(took));
                let verdict = match unusable {
                    Some(problem) => verdict.map(|_| self.unusable(problem)),
                    None => verdict,
                };
                let other = stored.filter(|stored| !stored.is_current(params)).map(|stored| stored.cost().times);
                let checked = verdict.map(|verdict| {
                    let right = matches!(verdict, PasswordVerdict::Right { .. });
                    let padding = if right { Duration::ZERO } else { self.state().padding.after(other, took) };
                    Verified { verdict, not_before: began + padding }
                });
                drop(answer.send(checked));
            }
        }
    }

    /// Fails if a stored hash needs more memory than there is.
    fn check_memory(&self, stored: Option<Stored>) -> Result<Option<Stored>, UnusableHash> {
        let kib = stored.as_ref().map_or(0, Stored::memory_kib);
        fits(kib, self.config.memory_kib).map(|()| stored)
    }

    fn unusable(&self, problem: UnusableHash) -> PasswordVerdict {
        self.state().figures.unusable += 1;
        PasswordVerdict::Unusable(problem)
    }

    /// Waits until the thread has the memory that a stored hash needs.
    fn reserve_memory(&self, thread: usize, arena: &mut Arena, stored: Option<&Stored>) {
        let kib = memory_for(self.config.params, stored);
        if arena.memory_kib() < kib {
            self.give_back(arena);
            self.take_memory(thread, kib);
            *arena = Arena::granted(kib);
        }
    }

    fn take_memory(&self, thread: usize, kib: u64) {
        let mut state = self.state();
        state.memory.request(thread, kib);
        self.wake_if_short(&state);
        while !state.memory.try_take(thread) {
            state = self.memory.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // The next request may be granted as well, or may need the memory of idle threads.
        self.wake_if_short(&state);
        drop(state);
        self.memory.notify_all();
    }

    /// Makes idle threads give up their memory if the first request needs it.
    fn wake_if_short(&self, state: &State) {
        if state.memory.is_short() {
            self.work.notify_all();
        }
    }

    fn give_back(&self, arena: &mut Arena) {
        let kib = std::mem::take(arena).memory_kib();
        if kib > 0 {
            self.state().memory.give_back(kib);
            self.memory.notify_all();
        }
    }

    /// Updates the figures, and gives back memory beyond the thread's share.
    fn record(&self, arena: &mut Arena, took: Option<Duration>) {
        let made = std::mem::take(&mut arena.made);
        if arena.memory_kib() > u64::from(self.config.params.memory_kib) {
            self.give_back(arena);
        }
        let mut state = self.state();
        state.pace.end(took);
        if let Some(took) = took {
            state.figures.hashed += 1;
            state.figures.made.current += made.current;
            state.figures.made.other += made.other;
            state.figures.took += took;
        }
    }
}
