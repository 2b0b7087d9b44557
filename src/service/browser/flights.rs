//! Requests that are the same, sent at the same time: by a double click, or by a browser that tries again. The first does
//! the work, and the others get its outcome, so that none of them fails because of another.

use std::{
    collections::HashMap,
    fmt,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

type Outcome<T> = Option<Arc<T>>;
/// What tells one request from another: the keyed hash of all that was submitted.
type Key = [u8; 32];

/// The requests under way. Clones share them.
pub(super) struct Flights<T>(Arc<Mutex<HashMap<Key, watch::Receiver<Outcome<T>>>>>);

impl<T> Clone for Flights<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}

enum Role<T> {
    First(watch::Sender<Outcome<T>>),
    Later(watch::Receiver<Outcome<T>>),
}

impl<T> Flights<T> {
    /// Does the work, or waits for the outcome of the same request. If the one that does it goes away, another takes
    /// over.
    pub(super) async fn join(&self, key: Key, work: impl Future<Output = T>) -> Arc<T> {
        let mut work = pin!(work);
        loop {
            match self.role(key) {
                Role::First(outcome) => {
                    let under_way = UnderWay { flights: self, key };
                    let done = Arc::new(work.as_mut().await);
                    outcome.send_replace(Some(done.clone()));
                    drop(under_way);
                    return done;
                }
                Role::Later(mut outcome) => {
                    let outcome = outcome.wait_for(Option::is_some).await.ok().and_then(|done| done.clone());
                    if let Some(done) = outcome {
                        return done;
                    }
                }
            }
        }
    }

    fn role(&self, key: Key) -> Role<T> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = under_way.get(&key) {
            return Role::Later(outcome.clone());
        }
        let (sender, outcome) = watch::channel(None);
        under_way.insert(key, outcome);
        Role::First(sender)
    }
}

/// The entry of a request under way. It goes before the sender of the outcome does: whoever finds no outcome finds no
/// entry either.
struct UnderWay<'a, T> {
    flights: &'a Flights<T>,
    key: Key,
}

impl<T> Drop for UnderWay<'_, T> {
    fn drop(&mut self) {
        self.flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn the_same_request_is_done_once_and_everybody_gets_its_outcome() {
        let (flights, done, gate) = (Flights::default(), AtomicUsize::new(0), Semaphore::new(0));
        let one = |key: u8| {
            let work = async {
                let _ = gate.acquire().await.unwrap();
                done.fetch_add(1, Ordering::SeqCst)
            };
            flights.join([key; 32], work)
        };
        let all = futures_util::future::join_all((0..50).map(|_| one(1)).chain([one(2)]));
        let open = async { gate.add_permits(2) };
        let (outcomes, ()) = tokio::join!(all, open);
        assert_eq!(done.load(Ordering::SeqCst), 2);
        assert!(outcomes[..50].iter().all(|outcome| **outcome == *outcomes[0]));
        assert!(flights.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn when_the_first_goes_away_another_takes_over() {
        let flights = Flights::default();
        let mut first = Box::pin(flights.join([1; 32], std::future::pending::<u8>()));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(flights.join([1; 32], async { 7 }));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(*second.await, 7);
    }
}
