//! The threads that hash, and the queue in front of them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use tokio::{sync::oneshot, time::Instant};

use super::{HashError, Params, Phc, Salts, Settings, Verdict, argon::Arena};
use crate::{secret::Password, time::Ttl};

/// Hashes passwords, never on the async runtime. Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct Passwords {
    queue: SyncSender<Job>,
    waiting: Arc<AtomicU64>,
    settings: Settings,
}

struct Job {
    work: Work,
    deadline: Option<Instant>,
}

enum Work {
    Hash { password: Password, answer: oneshot::Sender<Result<Phc, HashError>> },
    Verify { password: Password, stored: Option<Phc>, answer: oneshot::Sender<Result<Verdict, HashError>> },
}

impl Work {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { answer, .. } => answer.is_closed(),
            Self::Verify { answer, .. } => answer.is_closed(),
        }
    }
}

/// How long one hash takes, roughly, for telling callers when to come back.
const HASH_MS: u64 = 50;

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the system has no threads to give.
    pub fn start(settings: Settings, salts: Salts) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(settings.queue);
        let (jobs, waiting) = (Arc::new(Mutex::new(jobs)), Arc::new(AtomicU64::new(0)));
        for n in 0..settings.threads.max(1) {
            let (jobs, waiting, salts) = (jobs.clone(), waiting.clone(), salts.clone());
            let run = move || hash_all(&jobs, &waiting, settings.params, &salts);
            thread::Builder::new().name(format!("hash-{n}")).spawn(run)?;
        }
        Ok(Self { queue, waiting, settings })
    }

    /// Hashes a password to be stored.
    ///
    /// # Errors
    /// [`HashError::Busy`] at once when the queue is full.
    pub async fn hash(&self, password: Password) -> Result<Phc, HashError> {
        let (answer, answered) = oneshot::channel();
        self.submit(Work::Hash { password, answer }, None)?;
        answered.await.map_err(|_| HashError::Gone)?
    }

    /// Checks a password against a stored hash, or against nothing at the same cost.
    ///
    /// # Errors
    /// [`HashError::Busy`] at once when the queue is full; [`HashError::Gone`] if the deadline passed first.
    pub async fn verify(
        &self,
        password: Password,
        stored: Option<Phc>,
        deadline: Option<Instant>,
    ) -> Result<Verdict, HashError> {
        let (answer, answered) = oneshot::channel();
        self.submit(Work::Verify { password, stored, answer }, deadline)?;
        answered.await.map_err(|_| HashError::Gone)?
    }

    fn submit(&self, work: Work, deadline: Option<Instant>) -> Result<(), HashError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        match self.queue.try_send(Job { work, deadline }) {
            Ok(()) => Ok(()),
            Err(refused) => {
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                match refused {
                    TrySendError::Full(_) => Err(HashError::Busy { after: self.wait() }),
                    TrySendError::Disconnected(_) => Err(HashError::Gone),
                }
            }
        }
    }

    /// How long the queue that stands now should take.
    fn wait(&self) -> Ttl {
        let threads = u64::try_from(self.settings.threads.max(1)).unwrap_or(1);
        let ms = self.waiting.load(Ordering::SeqCst) * HASH_MS / threads;
        Ttl::from_millis(i64::try_from(ms.clamp(HASH_MS, 10_000)).unwrap_or(1000))
    }
}

fn hash_all(jobs: &Mutex<Receiver<Job>>, waiting: &AtomicU64, params: Params, salts: &Salts) {
    let mut arena = Arena::default();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        waiting.fetch_sub(1, Ordering::SeqCst);
        // Nobody gains from a hash that comes too late.
        if job.work.is_abandoned() || job.deadline.is_some_and(|at| Instant::now() >= at) {
            continue;
        }
        match job.work {
            Work::Hash { password, answer } => {
                let _ = answer.send(arena.create(params, &password, &**salts));
            }
            Work::Verify { password, stored, answer } => {
                let _ = answer.send(arena.verify(params, &password, stored.as_ref(), &**salts));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    const TINY: Params = Params { memory_kib: 64, iterations: 1, lanes: 1 };

    fn pool(params: Params) -> Passwords {
        Passwords::start(Settings { params, threads: 1, queue: 2 }, Arc::new(SeededEntropy::new(1))).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[tokio::test]
    async fn p08_p11_a_password_is_checked_normalised_and_hashed_again_when_the_parameters_rise() {
        let (old, new) = (pool(TINY), pool(Params { iterations: 2, ..TINY }));
        let phc = old.hash(password("caf\u{e9} au lait, s'il vous")).await.unwrap();
        assert!(phc.as_str().starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{}", phc.as_str());
        let same = password("cafe\u{301} au lait, s'il vous");
        assert!(matches!(old.verify(same, Some(phc.clone()), None).await, Ok(Verdict::Right { rehash: None })));
        assert!(matches!(old.verify(password("wrong"), Some(phc.clone()), None).await, Ok(Verdict::Wrong)));
        assert!(matches!(old.verify(password("any"), None, None).await, Ok(Verdict::Wrong)));
        let right = password("caf\u{e9} au lait, s'il vous");
        let Ok(Verdict::Right { rehash: Some(phc) }) = new.verify(right, Some(phc), None).await else {
            panic!("no rehash")
        };
        assert!(phc.as_str().contains("t=2"));
    }

    #[tokio::test]
    async fn a43_hashes_that_ask_for_too_much_are_refused() {
        let pool = pool(TINY);
        for stored in [
            "$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=64,t=11,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2d$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=16$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "junk",
        ] {
            let stored = Some(Phc::from_database(stored.to_owned()));
            assert!(matches!(pool.verify(password("x"), stored, None).await, Err(HashError::Corrupt)));
        }
    }

    #[tokio::test]
    async fn p09_a_full_queue_refuses_at_once_and_says_when_to_come_back() {
        // A pool whose threads never take anything: what is sent stays in the queue.
        let (queue, _jobs) = sync_channel(1);
        let settings = Settings { params: TINY, threads: 1, queue: 1 };
        let stuck = Passwords { queue, waiting: Arc::new(AtomicU64::new(0)), settings };
        let (answer, _answered) = oneshot::channel();
        stuck.submit(Work::Hash { password: password("x"), answer }, None).unwrap();
        let refused = stuck.verify(password("x"), None, None).await;
        assert!(matches!(refused, Err(HashError::Busy { after }) if after >= Ttl::from_millis(50)));
    }

    #[tokio::test]
    async fn p09_a_job_whose_deadline_has_passed_is_not_hashed() {
        let late = Some(Instant::now());
        assert!(matches!(pool(TINY).verify(password("x"), None, late).await, Err(HashError::Gone)));
    }
}
