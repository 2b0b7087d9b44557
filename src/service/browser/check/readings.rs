//! Reads that several callers share: whoever asks for what is being read waits for that read.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use crate::{
    error::{Error, Result},
    service::runtime::copy_error,
    time::Ttl,
};

/// Maximum reads under way. Each waits for a connection to the database.
const MOST: usize = 1024;
/// The retry delay sent to callers when there are that many.
const RETRY_AFTER: Ttl = Ttl::from_millis(500);

type Reading<V> = Shared<BoxFuture<'static, Result<V, Arc<Error>>>>;

/// The reads under way, by what they read.
pub(super) struct Readings<K, V>(Arc<Mutex<HashMap<K, Reading<V>>>>);

impl<K, V> fmt::Debug for Readings<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readings")
    }
}

impl<K, V> Default for Readings<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> Readings<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The outcome of `read`, or of the read of the same key that is under way. A read ends even if nobody waits for
    /// it any more, and its failure is everybody's: nobody waits for more than one.
    pub(super) async fn share<F>(&self, key: K, read: impl FnOnce() -> F) -> Result<V>
    where
        F: Future<Output = Result<V>> + Send + 'static,
    {
        let reading = self.join(key, read)?;
        reading.await.map_err(|error| copy_error(&error))
    }

    fn join<F>(&self, key: K, read: impl FnOnce() -> F) -> Result<Reading<V>>
    where
        F: Future<Output = Result<V>> + Send + 'static,
    {
        let mut all = self.lock();
        if let Some(reading) = all.get(&key) {
            return Ok(reading.clone());
        }
        if all.len() >= MOST {
            return Err(Error::Throttled { after: RETRY_AFTER });
        }
        let (read, done) = (read(), Done { all: self.0.clone(), key: key.clone() });
        let reading = async move {
            // Dropped at the end, or when the read panics.
            let _done = done;
            read.await.map_err(Arc::new)
        };
        let reading = reading.boxed().shared();
        all.insert(key, reading.clone());
        tokio::spawn(reading.clone());
        Ok(reading)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Reading<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a read off the list once it has ended.
struct Done<K: Eq + Hash, V> {
    all: Arc<Mutex<HashMap<K, Reading<V>>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Done<K, V> {
    fn drop(&mut self) {
        let gone = self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        // The list is free again before the last of the reading goes.
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    fn readings() -> Arc<Readings<&'static str, u32>> {
        Arc::default()
    }

    #[tokio::test]
    async fn callers_that_come_together_share_one_read_and_later_ones_begin_another() {
        let (readings, reads, gate) = (readings(), Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let read = || {
            let (reads, gate) = (reads.clone(), gate.clone());
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(reads.fetch_add(1, Ordering::SeqCst) + 1)
            }
        };
        let all: Vec<_> = (0..100).map(|_| readings.join("a", read).unwrap()).collect();
        gate.add_permits(1);
        for reading in all {
            assert_eq!(reading.await.unwrap(), 1);
        }
        gate.add_permits(1);
        assert_eq!(readings.share("a", read).await.unwrap(), 2);
        assert!(readings.lock().is_empty());
    }

    #[tokio::test]
    async fn a_failure_is_shared_and_a_caller_that_goes_away_takes_nothing_with_it() {
        let readings = readings();
        let failed = readings.share("a", || async { Err(Error::Unavailable("gone".into())) }).await;
        assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
        assert_eq!(readings.share("a", || async { Ok(2) }).await.unwrap(), 2);

        let gate = Arc::new(Semaphore::new(0));
        let waits = gate.clone();
        let reading = readings
            .join("b", || async move {
                waits.acquire().await.unwrap().forget();
                Ok(3)
            })
            .unwrap();
        drop(reading);
        let second = readings.join("b", || async { Ok(4) }).unwrap();
        gate.add_permits(1);
        assert_eq!(second.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn more_reads_than_there_is_room_for_are_refused() {
        let readings: Readings<usize, u32> = Readings::default();
        let all: Vec<_> = (0..MOST).map(|n| readings.join(n, std::future::pending).unwrap()).collect();
        assert!(matches!(readings.join(MOST, std::future::pending), Err(Error::Throttled { .. })));
        assert_eq!(all.len(), MOST);
    }
}
