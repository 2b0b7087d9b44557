//! A memory that is bounded in bytes.

use std::{collections::HashMap, hash::Hash, sync::Arc, sync::Mutex, sync::MutexGuard, sync::PoisonError};

/// What each entry takes besides its content: its places in the tables, and the counters of its `Arc`.
const PER_ENTRY: usize = 128;

/// Two generations of entries, so that a flood of new ones drops old ones without a search. Whatever was used since
/// the last change of generation is kept.
#[derive(Debug)]
pub(super) struct Memory<K, V> {
    /// Maximum bytes of one generation.
    most: usize,
    generations: Mutex<Generations<K, V>>,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, Remembered<V>>,
    young_bytes: usize,
    old: HashMap<K, Remembered<V>>,
    old_bytes: usize,
}

#[derive(Debug)]
struct Remembered<V> {
    value: Arc<V>,
    bytes: usize,
}

impl<K: Eq + Hash + Clone, V> Memory<K, V> {
    /// A memory of at most `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        let generations = Generations { young: HashMap::new(), young_bytes: 0, old: HashMap::new(), old_bytes: 0 };
        Self { most: bytes / 2, generations: Mutex::new(generations) }
    }

    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        let mut all = self.lock();
        if let Some(found) = all.young.get(key) {
            return Some(found.value.clone());
        }
        let (key, found) = all.old.remove_entry(key)?;
        all.old_bytes -= found.bytes;
        let value = found.value.clone();
        self.insert(&mut all, key, found);
        Some(value)
    }

    /// Remembers a value of `bytes`. One that is larger than a quarter of the memory is not kept.
    pub(super) fn put(&self, key: K, value: Arc<V>, bytes: usize) {
        let bytes = bytes.saturating_add(PER_ENTRY);
        let mut all = self.lock();
        all.remove(&key);
        if bytes <= self.most / 2 {
            self.insert(&mut all, key, Remembered { value, bytes });
        }
    }

    /// The bytes of all that is remembered.
    pub(super) fn bytes(&self) -> usize {
        let all = self.lock();
        all.young_bytes + all.old_bytes
    }

    fn insert(&self, all: &mut Generations<K, V>, key: K, entry: Remembered<V>) {
        if all.young_bytes + entry.bytes > self.most {
            all.old = std::mem::take(&mut all.young);
            all.old_bytes = std::mem::take(&mut all.young_bytes);
        }
        all.young_bytes += entry.bytes;
        all.young.insert(key, entry);
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Generations<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some(gone) = self.young.remove(key) {
            self.young_bytes -= gone.bytes;
        }
        if let Some(gone) = self.old.remove(key) {
            self.old_bytes -= gone.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_stays_within_the_bound_and_what_is_used_survives_it() {
        let memory = Memory::new(100 * 1024);
        memory.put(u32::MAX, Arc::new("used"), 1000);
        for n in 0..100_000 {
            memory.put(n, Arc::new("flood"), usize::try_from(n % 500).unwrap());
            assert_eq!(memory.get(&u32::MAX).as_deref(), Some(&"used"));
            assert!(memory.bytes() <= 100 * 1024, "{}", memory.bytes());
        }
        assert!(memory.get(&0).is_none());
        let all = memory.lock();
        let sum = |of: &HashMap<u32, Remembered<&str>>| of.values().map(|e| e.bytes).sum::<usize>();
        assert_eq!((sum(&all.young), sum(&all.old)), (all.young_bytes, all.old_bytes));
    }

    #[test]
    fn a_value_takes_the_place_of_the_last_one_with_its_key() {
        let memory = Memory::new(10_000);
        memory.put("a", Arc::new(1), 1000);
        memory.put("a", Arc::new(2), 500);
        assert_eq!((memory.get(&"a").as_deref(), memory.bytes()), (Some(&2), 500 + PER_ENTRY));
        memory.put("a", Arc::new(3), 9000);
        assert!(memory.get(&"a").is_none(), "too large to be kept, and the last one is not the answer");
        assert_eq!(memory.bytes(), 0);
    }
}
