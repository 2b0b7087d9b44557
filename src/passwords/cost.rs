//! What it costs to check a hash made by another system.

use std::fmt;

use super::phc::{Phc, Stored};

/// One of Chancery's own hashes, in KiB of memory times passes over it.
const ARGON2_UNIT: u64 = 19_456 * 2;
/// As much work as one of Chancery's own hashes: a scrypt table of 16 MiB, rounds of PBKDF2, a cost of bcrypt.
const SCRYPT_UNIT_KIB: u64 = 16 * 1024;
const PBKDF2_UNIT: u64 = 200_000;
const BCRYPT_UNIT: u32 = 10;

/// The cost of checking one password against a stored hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashCost {
    /// Memory, in KiB.
    pub memory_kib: u64,
    /// Time, as a multiple of that for one of Chancery's own hashes; rounded up.
    pub times: u64,
}

impl HashCost {
    /// The cost of Chancery's own hashes.
    pub const OWN: Self = Self { memory_kib: 19_456, times: 1 };
    /// The longest time that is taken on: about five seconds of a core. A hash that took longer than a call may would
    /// never be answered.
    pub const MOST_TIMES: u64 = 100;

    /// Whether it is higher than that of Chancery's own hashes.
    #[must_use]
    pub const fn is_high(self) -> bool {
        self.memory_kib > Self::OWN.memory_kib || self.times > Self::OWN.times
    }

    /// The memory, in MiB.
    #[must_use]
    pub const fn memory_mib(self) -> u64 {
        self.memory_kib.div_ceil(1024)
    }

    /// The higher of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { memory_kib: self.memory_kib.max(other.memory_kib), times: self.times.max(other.times) }
    }
}

impl fmt::Display for HashCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.memory_kib > 0 {
            write!(f, "{} MiB of memory and ", self.memory_mib())?;
        }
        write!(f, "{} times as long as one of Chancery's own", self.times)
    }
}

impl Phc {
    /// What checking it costs; nothing if it cannot be parsed.
    #[must_use]
    pub fn cost(&self) -> HashCost {
        Stored::parse(self.as_str()).map_or_else(|_| HashCost::default(), |stored| stored.cost())
    }
}

impl Stored {
    /// What checking it costs.
    pub(super) fn cost(&self) -> HashCost {
        let times = match self {
            Self::Argon2 { params, .. } => {
                (u64::from(params.memory_kib) * u64::from(params.iterations)).div_ceil(ARGON2_UNIT)
            }
            Self::Bcrypt { cost, .. } => 1 << cost.saturating_sub(BCRYPT_UNIT),
            Self::Scrypt { params, kib, .. } => (kib * u64::from(params.p())).div_ceil(SCRYPT_UNIT_KIB),
            Self::Pbkdf2 { iterations, .. } => u64::from(iterations.get()).div_ceil(PBKDF2_UNIT),
        };
        HashCost { memory_kib: self.memory_kib(), times: times.max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALTED: &str = "c2l4dGVlbiBieXRlIHNhbA$El7qb5m4dGfXF8ShfmydKxanD67ruEpaQsCZQLhrIn8";

    fn cost(params: &str) -> (u64, u64) {
        let HashCost { memory_kib, times } = Stored::parse(&format!("{params}${SALTED}")).ok().unwrap().cost();
        (memory_kib, times)
    }

    #[test]
    fn the_defaults_of_other_systems_cost_what_they_are_known_to() {
        assert_eq!(cost("$argon2id$v=19$m=19456,t=2,p=1"), (19_456, 1));
        // PHP, argon2-cffi and Spring.
        assert_eq!(cost("$argon2id$v=19$m=65536,t=4,p=1"), (65_536, 7));
        assert_eq!(cost("$argon2id$v=19$m=65536,t=3,p=4"), (65_536, 6));
        assert_eq!(cost("$argon2id$v=19$m=16384,t=2,p=1"), (16_384, 1));
        // passlib, Node and Django.
        assert_eq!(cost("$scrypt$ln=16,r=8,p=1"), (65_538, 5));
        assert_eq!(cost("$scrypt$ln=14,r=8,p=1"), (16_386, 2));
        assert_eq!(cost("$pbkdf2-sha256$i=600000"), (0, 3));
        let bcrypt = Stored::parse("$2b$12$juLUO/IEsL0cvx0rEOqgeeAiY14meE5MPGSC/cyAsGD.P.55g6.kK").ok().unwrap();
        assert_eq!(bcrypt.cost(), HashCost { memory_kib: 0, times: 4 });
    }

    #[test]
    fn a_cost_is_high_in_memory_or_in_time() {
        assert!(!HashCost::OWN.is_high() && !HashCost { memory_kib: 0, times: 1 }.is_high());
        let (large, slow) = (HashCost { memory_kib: 19_457, times: 1 }, HashCost { memory_kib: 0, times: 2 });
        assert!(large.is_high() && slow.is_high());
        assert_eq!(large.max(slow), HashCost { memory_kib: 19_457, times: 2 });
        assert_eq!(slow.to_string(), "2 times as long as one of Chancery's own");
        assert_eq!(large.to_string(), "20 MiB of memory and 1 times as long as one of Chancery's own");
    }
}
