//! Checks passwords against hashes made by other systems: bcrypt, scrypt and PBKDF2.

use aws_lc_rs::{constant_time, pbkdf2};
use zeroize::Zeroizing;

use super::phc::{Salted, Stored};

/// How much of a password bcrypt reads, in bytes.
const BCRYPT_READS: usize = 72;

impl Stored {
    /// Whether this hash, unless it is Argon2's, was made from a password.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        match self {
            Self::Argon2 { .. } => false,
            Self::Bcrypt { cost, salt, hash } => {
                let made = Zeroizing::new(bcrypt(*cost, *salt, password));
                made.get(..hash.len()).is_some_and(|made| equal(made, hash))
            }
            Self::Scrypt { params, salted: Salted { salt, hash }, .. } => {
                let mut made = Zeroizing::new(vec![0; hash.len()]);
                scrypt::scrypt(password, salt, params, &mut made).is_ok() && equal(&made, hash)
            }
            Self::Pbkdf2 { algorithm, iterations, salted: Salted { salt, hash } } => {
                pbkdf2::verify(*algorithm, *iterations, salt, password, hash).is_ok()
            }
        }
    }
}

fn equal(made: &[u8], hash: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(made, hash).is_ok()
}

/// Hashes the password and a zero byte, cut to 72 bytes, as all implementations of bcrypt do.
fn bcrypt(cost: u32, salt: [u8; 16], password: &[u8]) -> [u8; 24] {
    let mut key = Zeroizing::new([0; BCRYPT_READS]);
    for (to, from) in key.iter_mut().zip(password) {
        *to = *from;
    }
    let read = key.get(..=password.len()).unwrap_or(&*key);
    bcrypt::bcrypt(cost, salt, read)
}

#[cfg(test)]
mod tests;
