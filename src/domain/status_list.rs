//! Token status lists (draft-ietf-oauth-status-list): one bit per session and per client.

use crate::time::Ttl;

/// Number of entries in a list: a power of two, and a multiple of eight.
pub const ENTRIES: u32 = 1 << 17;
/// How long a verifier may use a list before it fetches the next one.
pub const LIST_TTL: Ttl = Ttl::from_secs(15);
/// How long after signing a list expires.
pub const LIST_LIFETIME: Ttl = Ttl::from_secs(120);
/// The shortest time between two publications of a list, however much is revoked.
pub const REPUBLISH: Ttl = Ttl::from_secs(1);

/// The position of a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatusIndex {
    /// The list.
    pub list: i64,
    /// The index in the list, below [`ENTRIES`].
    pub index: u32,
}

impl StatusIndex {
    /// Converts from the two columns; nothing if they are NULL or out of range.
    #[must_use]
    pub fn from_columns(list: Option<i64>, index: Option<i64>) -> Option<Self> {
        let (list, index) = (list?, u32::try_from(index?).ok()?);
        (index < ENTRIES).then_some(Self { list, index })
    }

    /// Converts to the two columns.
    #[must_use]
    pub fn columns(this: Option<Self>) -> (Option<i64>, Option<i64>) {
        (this.map(|s| s.list), this.map(|s| i64::from(s.index)))
    }
}

/// The bits of one list. A set bit means `INVALID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits(Vec<u8>);

impl Default for Bits {
    fn default() -> Self {
        Self(vec![0; ENTRIES as usize / 8])
    }
}

impl Bits {
    /// Sets a bit. Entries are packed into each byte from the least significant bit.
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
        // The example in the draft: 1 0 0 1 1 1 0 1 1 1 0 0 0 1 0 1.
        let mut bits = Bits::default();
        for set in [0, 3, 4, 5, 7, 8, 9, 13, 15] {
            bits.set(set);
        }
        assert_eq!(&bits.bytes()[..3], &[0xb9, 0xa3, 0x00]);
        bits.set(ENTRIES);
        assert_eq!(bits.bytes().len(), 16_384);
    }
}
