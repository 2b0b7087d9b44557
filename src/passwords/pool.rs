//! The threads that hash, and how callers reach them.

#[cfg(test)]
mod tests;
mod work;

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use self::work::{Checked, Work};
use super::{
    Applicant, Figures, HashError, Phc, Salts, Settings, Verdict,
    argon::{Arena, memory_for},
    memory::Memory,
    pace::Pace,
    phc::Stored,
    priority,
    queue::{Evicted, Queue, Refused, Ticket, Turn},
};
use crate::secret::Password;

/// Who is wrong never waits longer than this for the sake of those who have a hash of another system.
const MOST_PADDING: Duration = Duration::from_secs(5);

/// Hashes passwords, never on the async runtime. Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct Passwords {
    shared: Arc<Shared>,
    _open: Arc<Open>,
}

/// Ends the threads when it goes.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.work.notify_all();
    }
}

struct Shared {
    state: Mutex<State>,
    /// There is work, or memory is short.
    work: Condvar,
    /// Memory came back.
    memory: Condvar,
    settings: Settings,
    salts: Salts,
}

struct State {
    queue: Queue<Work>,
    memory: Memory,
    pace: Pace,
    /// How long a wrong password takes whose account has a hash of another system, lately.
    slowest: Duration,
    figures: Figures,
    closed: bool,
}

/// A place in the queue. It is free again as soon as this goes.
pub struct Slot {
    passwords: Passwords,
    ticket: Ticket,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.ticket).finish()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let withdrawn = self.passwords.shared.state().queue.withdraw(self.ticket);
        // The password is wiped without holding others up.
        drop(withdrawn);
    }
}

impl Slot {
    /// Checks a password against a stored hash, or against nothing at the same cost.
    ///
    /// # Errors
    /// [`HashError::Busy`] if others took the place since; [`HashError::Gone`] if the deadline passed first.
    pub async fn verify(self, password: Password, stored: Option<Phc>) -> Result<Verdict, HashError> {
        let (answer, answered) = oneshot::channel();
        let shared = &self.passwords.shared;
        let lost = shared.state().queue.ready(self.ticket, Work::Verify { password, stored, answer });
        if lost.is_err() {
            return Err(shared.busy());
        }
        shared.work.notify_one();
        let Checked { verdict, not_before } = answered.await.map_err(|_| HashError::Gone)??;
        if matches!(verdict, Verdict::Wrong) {
            tokio::time::sleep_until(not_before).await;
        }
        Ok(verdict)
    }
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the system has no threads to give.
    pub fn start(settings: Settings, salts: Salts) -> std::io::Result<Self> {
        let passwords = Self::without_threads(settings, salts);
        for n in 0..passwords.shared.settings.threads {
            let shared = passwords.shared.clone();
            thread::Builder::new().name(format!("hash-{n}")).spawn(move || shared.hash_all(n))?;
        }
        Ok(passwords)
    }

    fn without_threads(settings: Settings, salts: Salts) -> Self {
        let threads = settings.threads.max(1);
        let part = u64::from(settings.params.memory_kib);
        // Each thread must be able to hash.
        let memory_kib = settings.memory_kib.max(part * threads as u64);
        let state = Mutex::new(State {
            queue: Queue::new(settings.queue),
            memory: Memory::new(memory_kib, part, threads),
            pace: Pace::new(threads),
            slowest: Duration::ZERO,
            figures: Figures::default(),
            closed: false,
        });
        let settings = Settings { threads, memory_kib, ..settings };
        let shared = Arc::new(Shared { state, work: Condvar::new(), memory: Condvar::new(), settings, salts });
        Self { _open: Arc::new(Open(shared.clone())), shared }
    }

    /// Takes a place in the queue, before anything is read for a sign-in.
    ///
    /// # Errors
    /// At once: [`HashError::Busy`] if there is no place, or none in time; [`HashError::Gone`] if the
    /// deadline has passed.
    pub fn admit(&self, applicant: &Applicant) -> Result<Slot, HashError> {
        let now = Instant::now();
        let mut guard = self.shared.state();
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
            Ok((ticket, evicted)) => {
                if let Some(Evicted(Some(work))) = evicted {
                    work.refuse(self.shared.busy());
                }
                Ok(Slot { passwords: self.clone(), ticket })
            }
            Err(Refused::Expired) => Err(HashError::Gone),
            Err(_) => Err(self.shared.busy()),
        }
    }

    /// Hashes a password to be stored.
    ///
    /// # Errors
    /// [`HashError::Busy`] at once when too many wait to be stored.
    pub async fn hash(&self, password: Password) -> Result<Phc, HashError> {
        let (answer, answered) = oneshot::channel();
        let admitted = self.shared.state().queue.admit_storing(Work::Hash { password, answer });
        let Ok(ticket) = admitted else {
            self.shared.state().figures.queue_full += 1;
            return Err(self.shared.busy());
        };
        let _slot = Slot { passwords: self.clone(), ticket };
        self.shared.work.notify_one();
        answered.await.map_err(|_| HashError::Gone)?
    }

    /// What became of the passwords so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let state = self.shared.state();
        Figures { waiting: state.queue.waiting(), memory_kib: state.memory.used(), ..state.figures }
    }

    /// How passwords are hashed.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.shared.settings
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> HashError {
        let (pace, waiting) = {
            let state = self.state();
            (state.pace, state.queue.waiting())
        };
        HashError::Busy { after: pace.come_back(waiting, &*self.salts) }
    }

    /// What a thread does.
    fn hash_all(&self, thread: usize) {
        priority::lower();
        let mut arena = Arena::default();
        while let Some(work) = self.next(&mut arena) {
            self.hash(thread, &mut arena, work);
        }
    }

    /// Waits for work; nothing when there will be none. An idle thread's memory is at others' disposal.
    fn next(&self, arena: &mut Arena) -> Option<Work> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if arena.kib() > 0 && state.memory.is_short() {
                drop(state);
                self.give_back(arena);
                state = self.state();
                continue;
            }
            let Turn { work, expired } = state.queue.next(Instant::now());
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

    /// Does the work.
    fn hash(&self, thread: usize, arena: &mut Arena, work: Work) {
        if work.is_abandoned() {
            return self.done(arena, None);
        }
        let read = work.stored().and_then(|stored| self.prepare(thread, arena, stored.as_ref()).map(|()| stored));
        let stored = match read {
            Ok(stored) => stored,
            Err(error) => {
                self.done(arena, None);
                return work.refuse(error);
            }
        };
        let (params, salts, began) = (self.settings.params, &*self.salts, Instant::now());
        // A caller that went away does not miss the answer.
        match work {
            Work::Hash { password, answer } => {
                let hash = arena.create(params, &password, salts);
                self.done(arena, Some(began.elapsed()));
                drop(answer.send(hash));
            }
            Work::Verify { password, answer, .. } => {
                let verdict = arena.verify(params, &password, stored.as_ref(), salts);
                let took = began.elapsed();
                self.done(arena, Some(took));
                let other = stored.is_some_and(|stored| !stored.is_current(params));
                let checked = verdict.map(|verdict| {
                    let not_before = began + self.padding(other && matches!(verdict, Verdict::Wrong), took);
                    Checked { verdict, not_before }
                });
                drop(answer.send(checked));
            }
        }
    }

    /// How long a wrong password takes, whosoever it is: as long as one does whose account has a hash of another
    /// system. That takes time on top of the hash that every check costs, and would tell that the account exists.
    fn padding(&self, other: bool, took: Duration) -> Duration {
        let mut state = self.state();
        if other {
            // What was slow by chance is forgotten, slowly.
            let lately = state.slowest.saturating_sub(state.slowest / 256);
            state.slowest = lately.max(took).min(MOST_PADDING);
        }
        state.slowest
    }

    /// Gives the thread the memory that a stored hash needs, as soon as there is room for it.
    fn prepare(&self, thread: usize, arena: &mut Arena, stored: Option<&Stored>) -> Result<(), HashError> {
        let kib = memory_for(self.settings.params, stored);
        if kib > self.settings.memory_kib {
            return Err(HashError::Memory { needs_mib: kib.div_ceil(1024), has_mib: self.settings.memory_kib / 1024 });
        }
        if arena.kib() < kib {
            self.give_back(arena);
            self.take_memory(thread, kib);
            *arena = Arena::of(kib);
        }
        Ok(())
    }

    fn take_memory(&self, thread: usize, kib: u64) {
        let mut state = self.state();
        state.memory.ask(thread, kib);
        self.wake_if_short(&state);
        while !state.memory.take(thread) {
            state = self.memory.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // Who is next in line may have room as well, or need what idle threads hold.
        self.wake_if_short(&state);
        drop(state);
        self.memory.notify_all();
    }

    /// Lets idle threads give up what they hold, if the first in line needs it.
    fn wake_if_short(&self, state: &State) {
        if state.memory.is_short() {
            self.work.notify_all();
        }
    }

    fn give_back(&self, arena: &mut Arena) {
        let kib = std::mem::take(arena).kib();
        if kib > 0 {
            self.state().memory.give_back(kib);
            self.memory.notify_all();
        }
    }

    /// Notes what was done. Memory beyond the thread's part is not kept.
    fn done(&self, arena: &mut Arena, took: Option<Duration>) {
        let made = std::mem::take(&mut arena.made);
        if arena.kib() > u64::from(self.settings.params.memory_kib) {
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
