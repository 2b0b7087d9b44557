//! Token status lists (draft-ietf-oauth-status-list): one bit for each session and each client.

use crate::time::Ttl;

/// Entries of one list. A power of two, and a multiple of eight.
pub const ENTRIES: u32 = 1 << 17;
/// How long a verifier may use a list before it asks again.
pub const LIST_TTL: Ttl = Ttl::from_secs(15);
/// How long a list may be used at all, by whoever kept it.
pub const LIST_LIFETIME: Ttl = Ttl::from_secs(120);
/// A list is published anew at most this often, however much is revoked.
pub const REPUBLISH: Ttl = Ttl::from_secs(1);

/// Where a bit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatusIndex {
    /// The list.
    pub list: i64,
    /// The bit's place, below [`ENTRIES`].
    pub index: u32,
}

impl StatusIndex {
    /// From the two columns; nothing if they are empty or make no sense.
    #[must_use]
    pub fn from_columns(list: Option<i64>, index: Option<i64>) -> Option<Self> {
        let (list, index) = (list?, u32::try_from(index?).ok()?);
        (index < ENTRIES).then_some(Self { list, index })
    }

    /// The two columns.
    #[must_use]
    pub fn columns(this: Option<Self>) -> (Option<i64>, Option<i64>) {
        (this.map(|s| s.list), this.map(|s| i64::from(s.index)))
    }
}

/// The bits of one list; a set bit is `INVALID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits(Vec<u8>);

impl Default for Bits {
    fn default() -> Self {
        Self(vec![0; ENTRIES as usize / 8])
    }
}

impl Bits {
    /// Sets a bit: entries are packed from the least significant bit of each byte.
    pub fn set(&mut self, index: u32) {
        if let Some(byte) = self.0.get_mut(index as usize / 8) {
            *byte |= 1 << (index % 8);
        }
    }

    /// The bytes, before compression.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r03_entries_are_packed_from_the_least_significant_bit() {
        // The example of the draft: 1 0 0 1 1 1 0 1 1 1 0 0 0 1 0 1.
        let mut bits = Bits::default();
        for set in [0, 3, 4, 5, 7, 8, 9, 13, 15] {
            bits.set(set);
        }
        assert_eq!(&bits.bytes()[..3], &[0xb9, 0xa3, 0x00]);
        bits.set(ENTRIES);
        assert_eq!(bits.bytes().len(), 16_384);
    }
}
