//! The versions of the sealing key that a process holds.
//!
//! What is made is made with the version in use. What is read names the version that it was made with; a version that is
//! not held, or that was dropped, reads as a wrong tag does. The keys never change while the process runs: the feed says
//! which of them is in use, and which were dropped. Both are atomics, so that neither takes a lock.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use zeroize::Zeroizing;

use super::sealing::SealingKey;
use crate::entropy::Entropy;

/// The version of the key that a database is set up with.
pub const FIRST_SEALING_VERSION: i64 = 1;
/// The highest version: texts name it in one byte.
pub const LAST_SEALING_VERSION: i64 = u8::MAX as i64;

/// The versions of the sealing key that a process holds, and which of them is in use.
pub struct SealingKeys {
    /// In the order of their versions.
    held: Vec<Held>,
    /// The place of the version in use among those.
    in_use: AtomicUsize,
    /// Whether another version has come into use, which is not held.
    lacks: AtomicBool,
}

struct Held {
    key: SealingKey,
    dropped: AtomicBool,
}

/// A process does not hold the version that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("version {0} of the sealing key is in use, and this process does not hold it")]
pub struct LacksVersionInUse(pub i64);

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held.iter().map(|held| (held.key.version(), &held.key));
        f.debug_map().entries(held).finish()
    }
}

impl From<SealingKey> for SealingKeys {
    /// The only version.
    fn from(key: SealingKey) -> Self {
        Self {
            held: vec![Held { key, dropped: AtomicBool::new(false) }],
            in_use: AtomicUsize::new(0),
            lacks: AtomicBool::new(false),
        }
    }
}

impl SealingKeys {
    /// These versions.
    ///
    /// # Errors
    /// The version in use is not among them.
    pub fn new(keys: Vec<SealingKey>, in_use: i64) -> Result<Self, LacksVersionInUse> {
        let mut held: Vec<_> = keys.into_iter().map(|key| Held { key, dropped: AtomicBool::new(false) }).collect();
        held.sort_by_key(|held| held.key.version());
        let keys = Self { held, in_use: AtomicUsize::new(0), lacks: AtomicBool::new(false) };
        keys.follow(in_use, &[])?;
        Ok(keys)
    }

    /// Takes over which version is in use, and which were dropped. A version that was dropped never comes back.
    ///
    /// # Errors
    /// The version in use is not held.
    pub fn follow(&self, in_use: i64, dropped: &[i64]) -> Result<(), LacksVersionInUse> {
        let is = |held: &Held, version: i64| i64::from(held.key.version()) == version;
        let place = self.held.iter().position(|held| is(held, in_use));
        self.lacks.store(place.is_none(), Ordering::Relaxed);
        let place = place.ok_or(LacksVersionInUse(in_use))?;
        self.in_use.store(place, Ordering::Relaxed);
        for held in self.held.iter().filter(|held| dropped.iter().any(|version| is(held, *version))) {
            held.dropped.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the version in use is held, as far as is known. If not, nothing may be made, nor be refused for its tag.
    #[must_use]
    pub fn hold_version_in_use(&self) -> bool {
        !self.lacks.load(Ordering::Relaxed)
    }

    /// The version in use, which everything is made with.
    #[must_use]
    #[expect(clippy::expect_used, reason = "`new` and `follow` store only places of keys that are held")]
    pub fn in_use(&self) -> &SealingKey {
        &self.held.get(self.in_use.load(Ordering::Relaxed)).expect("a key that is held").key
    }

    /// A version that something names; nothing if it is not held, or was dropped.
    #[must_use]
    pub fn version(&self, version: u8) -> Option<&SealingKey> {
        // There are two of them at most times.
        self.valid().find(|key| key.version() == version)
    }

    /// A version that a row names.
    #[must_use]
    pub fn version_of_row(&self, version: i64) -> Option<&SealingKey> {
        self.version(u8::try_from(version).ok()?)
    }

    /// The version that a tag verifies under: the one that the text names, or else another that is held and was not dropped.
    ///
    /// The number in a text is only where to look first. A database that was put back to before a rotation numbers anew what is
    /// loaded after it, so that a text of a key that is held may name it by its old number. The tag is over the number, and only
    /// who has the key can make it; so to try the others lets nothing in that was not made with one of them. It costs a few HMACs,
    /// and only for what would be refused anyway.
    #[must_use]
    pub fn version_that(&self, named: u8, verifies: impl Fn(&SealingKey) -> bool) -> Option<&SealingKey> {
        let others = self.valid().filter(|key| key.version() != named);
        self.version(named).into_iter().chain(others).find(|key| verifies(key))
    }

    /// Every version that is held and was not dropped, the newest first. What names no version is compared under each.
    pub fn valid(&self) -> impl Iterator<Item = &SealingKey> {
        self.held.iter().rev().filter(|held| !held.dropped.load(Ordering::Relaxed)).map(|held| &held.key)
    }

    /// The oldest version that is held and was not dropped. Keyed hashes that are looked up, and name no version, are made
    /// under it, so that they are the same before the next version comes into use and after: counts of failures, topics of
    /// tickets, what a form was submitted with.
    #[must_use]
    pub fn oldest(&self) -> &SealingKey {
        self.valid().last().unwrap_or_else(|| self.in_use())
    }

    /// The numbers of the versions that are held and were not dropped, the newest first.
    #[must_use]
    pub fn versions(&self) -> Vec<i64> {
        self.valid().map(|key| i64::from(key.version())).collect()
    }

    /// Decrypts what [`SealingKey::seal_for_browser`] has sealed for this purpose under any version.
    #[must_use]
    pub fn open_for_browser(&self, sealed: &[u8], purpose: &str) -> Option<Zeroizing<Vec<u8>>> {
        self.valid().find_map(|key| key.open_for_browser(sealed, purpose))
    }

    /// Seals with the version in use again what a row has sealed under another. Nothing if that is not held, was dropped, or
    /// does not open it.
    #[must_use]
    pub fn reseal(&self, (sealed, version): (&[u8], i64), purpose: &str, entropy: &dyn Entropy) -> Option<Vec<u8>> {
        let plain = self.version_of_row(version)?.open(sealed, purpose)?;
        Some(self.in_use().seal(&plain, purpose, entropy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    fn key(version: u8) -> SealingKey {
        SealingKey::new(&Zeroizing::new([version; 32])).with_version(version)
    }

    #[test]
    fn the_feed_says_which_version_is_in_use_and_which_were_dropped() {
        let keys = SealingKeys::new(vec![key(2), key(1)], 1).unwrap();
        assert_eq!((keys.in_use().version(), keys.versions(), keys.oldest().version()), (1, vec![2, 1], 1));
        keys.follow(2, &[]).unwrap();
        assert_eq!((keys.in_use().version(), keys.version(1).map(SealingKey::version)), (2, Some(1)));
        assert_eq!(keys.oldest().version(), 1);
        keys.follow(2, &[1]).unwrap();
        assert!(keys.version(1).is_none() && keys.version(3).is_none());
        assert_eq!((keys.versions(), keys.oldest().version()), (vec![2], 2));
    }

    #[test]
    fn a_version_that_is_not_held_cannot_come_into_use() {
        assert_eq!(SealingKeys::new(vec![key(1)], 2).unwrap_err(), LacksVersionInUse(2));
        assert_eq!(SealingKeys::new(Vec::new(), 1).unwrap_err(), LacksVersionInUse(1));
        let keys = SealingKeys::from(key(1));
        assert!(keys.hold_version_in_use() && keys.follow(2, &[1]).is_err());
        assert_eq!((keys.in_use().version(), keys.versions()), (1, vec![1]));
        assert!(!keys.hold_version_in_use());
    }

    #[test]
    fn what_is_resealed_opens_with_the_version_in_use_alone() {
        let (keys, entropy) = (SealingKeys::new(vec![key(1), key(2)], 2).unwrap(), SeededEntropy::new(1));
        let old = key(1).seal(b"plain", "a", &entropy);
        let new = keys.reseal((&old, 1), "a", &entropy).unwrap();
        assert_eq!(key(2).open(&new, "a").unwrap().as_slice(), b"plain");
        assert!(key(1).open(&new, "a").is_none());
        assert!(keys.reseal((&old, 1), "b", &entropy).is_none() && keys.reseal((&old, 3), "a", &entropy).is_none());
        let kept = key(1).seal_for_browser(b"plain", "a", &entropy);
        assert_eq!(keys.open_for_browser(&kept, "a").unwrap().as_slice(), b"plain");
    }

    #[test]
    fn nothing_of_a_key_is_shown_but_its_fingerprint() {
        let shown = format!("{:?}", SealingKeys::from(key(1)));
        assert!(shown.contains(&key(1).fingerprint()) && !shown.contains("[1, 1"), "{shown}");
    }
}
