//! The versions of the sealing key that a process holds.
//!
//! What is made is made with the version in use. What is read names the version that it was made with; a version that is
//! not held, or that was dropped, reads as a wrong tag does. The keys never change while the process runs: the feed says
//! which of them is in use, and which were dropped. Both are atomics, so that neither takes a lock.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use zeroize::Zeroizing;

use super::sealing::{SealingKey, fingerprint};
use crate::{domain::sealing::SealingVersion, entropy::Entropy};

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
    /// The version that has come into use and is not held, if there is one.
    lacks: ArcSwapOption<LacksVersionInUse>,
}

struct Held {
    key: SealingKey,
    dropped: AtomicBool,
}

impl Held {
    fn is(&self, version: &SealingVersion) -> bool {
        i64::from(self.key.version()) == version.version && self.key.answers(&version.check_value)
    }
}

/// A process does not hold the version that is in use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "version {version} of the sealing key, {fingerprint}, is in use, and this process does not hold it: start it again with \
     that key as well, by another --sealing-key-file"
)]
pub struct LacksVersionInUse {
    /// The version in use.
    pub version: i64,
    /// The fingerprint of its key.
    pub fingerprint: String,
}

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
            lacks: ArcSwapOption::empty(),
        }
    }
}

impl SealingKeys {
    /// These versions; nothing if the one in use is not among them.
    #[must_use]
    pub fn new(keys: Vec<SealingKey>, in_use: i64) -> Option<Self> {
        let mut held: Vec<_> = keys.into_iter().map(|key| Held { key, dropped: AtomicBool::new(false) }).collect();
        held.sort_by_key(|held| held.key.version());
        let place = held.iter().position(|held| i64::from(held.key.version()) == in_use)?;
        Some(Self { held, in_use: AtomicUsize::new(place), lacks: ArcSwapOption::empty() })
    }

    /// Takes over which version is in use, and which were dropped. A version that was dropped never comes back.
    ///
    /// A version is held by its number and its key: what was never used can be forgotten, and a database put back, and
    /// either may give the number to another key.
    ///
    /// # Errors
    /// The version in use is not held.
    pub fn follow(&self, versions: &[SealingVersion], in_use: i64) -> Result<(), LacksVersionInUse> {
        let current = versions.iter().find(|version| version.version == in_use);
        let Some(place) = current.and_then(|version| self.held.iter().position(|held| held.is(version))) else {
            let fingerprint = current.map(|version| fingerprint(&version.check_value)).unwrap_or_default();
            let lacks = LacksVersionInUse { version: in_use, fingerprint };
            self.lacks.store(Some(Arc::new(lacks.clone())));
            return Err(lacks);
        };
        self.lacks.store(None);
        self.in_use.store(place, Ordering::Relaxed);
        for version in versions.iter().filter(|version| version.dropped_at.is_some()) {
            for held in self.held.iter().filter(|held| held.key.answers(&version.check_value)) {
                held.dropped.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Whether the version in use is held, as far as is known. If not, nothing may be made, nor be refused for its tag.
    #[must_use]
    pub fn hold_version_in_use(&self) -> bool {
        self.lacks.load().is_none()
    }

    /// The version in use that is not held, if that is so.
    #[must_use]
    pub fn lacking(&self) -> Option<Arc<LacksVersionInUse>> {
        self.lacks.load_full()
    }

    /// Whether this is a version that is held and was not dropped.
    #[must_use]
    pub fn holds(&self, version: &SealingVersion) -> bool {
        self.held.iter().any(|held| held.is(version) && !held.dropped.load(Ordering::Relaxed))
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
impl SealingKeys {
    /// The versions that are held, as a database would know them, some of them dropped.
    fn as_known(&self, dropped: &[i64]) -> Vec<SealingVersion> {
        let at = crate::time::Timestamp::from_millis(0);
        let known = |held: &Held| SealingVersion {
            version: held.key.version().into(),
            check_value: held.key.check_value().to_vec(),
            created_at: at,
            used_from: None,
            used_until: None,
            dropped_at: dropped.contains(&held.key.version().into()).then_some(at),
        };
        self.held.iter().map(known).collect()
    }

    /// Follows a database with the versions that are held.
    pub(super) fn follow_numbers(&self, in_use: i64, dropped: &[i64]) -> Result<(), LacksVersionInUse> {
        self.follow(&self.as_known(dropped), in_use)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    fn key(version: u8) -> SealingKey {
        SealingKey::new(&Zeroizing::new([version; 32])).with_version(version)
    }

    fn versions(keys: &SealingKeys) -> Vec<u8> {
        keys.valid().map(SealingKey::version).collect()
    }

    #[test]
    fn the_feed_says_which_version_is_in_use_and_which_were_dropped() {
        let keys = SealingKeys::new(vec![key(2), key(1)], 1).unwrap();
        assert_eq!((keys.in_use().version(), versions(&keys), keys.oldest().version()), (1, vec![2, 1], 1));
        keys.follow_numbers(2, &[]).unwrap();
        assert_eq!((keys.in_use().version(), keys.version(1).map(SealingKey::version)), (2, Some(1)));
        assert_eq!(keys.oldest().version(), 1);
        keys.follow_numbers(2, &[1]).unwrap();
        assert!(keys.version(1).is_none() && keys.version(3).is_none());
        assert_eq!((versions(&keys), keys.oldest().version()), (vec![2], 2));
    }

    #[test]
    fn a_version_that_is_not_held_cannot_come_into_use() {
        assert!(SealingKeys::new(vec![key(1)], 2).is_none() && SealingKeys::new(Vec::new(), 1).is_none());
        let keys = SealingKeys::from(key(1));
        assert!(keys.hold_version_in_use() && keys.follow_numbers(2, &[1]).is_err());
        assert_eq!((keys.in_use().version(), versions(&keys)), (1, vec![1]));
        assert!(!keys.hold_version_in_use());
        keys.follow_numbers(1, &[]).unwrap();
        assert!(keys.hold_version_in_use() && keys.lacking().is_none(), "the database was put back");
    }

    #[test]
    fn a_number_that_another_key_has_is_not_the_version_that_is_held() {
        let keys = SealingKeys::new(vec![key(1), key(2)], 1).unwrap();
        let mut known = keys.as_known(&[]);
        assert!(known.iter().all(|version| keys.holds(version)));
        let other = SealingKey::new(&Zeroizing::new([9; 32]));
        known[1].check_value = other.check_value().to_vec();
        assert!(keys.holds(&known[0]) && !keys.holds(&known[1]));
        let lacks = keys.follow(&known, 2).unwrap_err();
        assert_eq!((lacks.version, &lacks.fingerprint), (2, &other.fingerprint()));
        assert_eq!(keys.lacking().as_deref(), Some(&lacks));
        let said = lacks.to_string();
        assert!(
            said.contains("version 2") && said.contains(&other.fingerprint()) && said.contains("--sealing-key-file")
        );
        // It was dropped, whatever number it had there.
        known[1] =
            SealingVersion { version: 7, dropped_at: Some(known[0].created_at), ..keys.as_known(&[])[1].clone() };
        keys.follow(&known, 1).unwrap();
        assert_eq!(versions(&keys), [1]);
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
