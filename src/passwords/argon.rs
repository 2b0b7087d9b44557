//! Argon2, and what every check of a password costs.

use std::str::FromStr;

use argon2::{
    Algorithm, Argon2, Block, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use aws_lc_rs::constant_time;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::{
    HashError, Made, Phc, Verdict,
    phc::{Salted, Stored},
};
use crate::{entropy::Entropy, secret::Password};

/// Most bytes of a password; a longer one is nobody's.
const MAX_BYTES: usize = 1024;
const SALT: usize = 16;
const OUTPUT: usize = 32;

/// The parameters of Argon2id (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Iterations.
    pub iterations: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Params {
    /// The least that OWASP recommends with two iterations: about 45 ms.
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, lanes: 1 }
    }
}

impl Stored {
    /// Whether it is what would be made today.
    pub(super) fn is_current(&self, current: Params) -> bool {
        match self {
            Self::Argon2 { algorithm, params, salted: Salted { salt, hash } } => {
                let sizes = salt.len() == SALT && hash.len() == OUTPUT;
                *algorithm == Algorithm::Argon2id && *params == current && sizes
            }
            Self::Bcrypt { .. } | Self::Scrypt { .. } | Self::Pbkdf2 { .. } => false,
        }
    }
}

/// A password in the two forms that a hash may have been made of.
struct Forms<'a> {
    /// One text for what looks the same, at setting and checking alike (SP 800-63B-4 §3.1.1.2).
    normal: Zeroizing<String>,
    /// As it was typed, if that is another text: most other systems normalise nothing.
    typed: Option<&'a str>,
    too_long: bool,
}

impl<'a> Forms<'a> {
    fn of(password: &'a Password) -> Self {
        let all = password.expose();
        let end = all.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|end| *end <= MAX_BYTES).last();
        let typed = all.get(..end.unwrap_or(0)).unwrap_or_default();
        let normal: Zeroizing<String> = Zeroizing::new(typed.nfc().collect());
        let typed = Some(typed).filter(|typed| *typed != normal.as_str());
        Self { normal, typed, too_long: all.len() > MAX_BYTES }
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.normal.as_str()).chain(self.typed)
    }
}

/// Memory that one thread hashes in, kept from one password to the next.
#[derive(Default)]
pub(super) struct Arena {
    granted_kib: u64,
    /// Taken when it is first needed, of what was granted.
    blocks: Vec<Block>,
    /// What was made here since this was last asked.
    pub(super) made: Made,
}

impl Arena {
    /// With so much memory, of which nothing is taken yet.
    pub(super) fn of(granted_kib: u64) -> Self {
        Self { granted_kib, ..Self::default() }
    }

    /// How much it may take.
    pub(super) fn kib(&self) -> u64 {
        self.granted_kib
    }

    fn hash(
        &mut self,
        (algorithm, params): (Algorithm, Params),
        password: &[u8],
        salt: &[u8],
        out: &mut [u8],
    ) -> Result<(), HashError> {
        let p = argon2::Params::new(params.memory_kib, params.iterations, params.lanes, Some(out.len()));
        let argon2 = Argon2::new(algorithm, Version::V0x13, p.map_err(|_| HashError::Corrupt)?);
        let blocks = argon2.params().block_count();
        if (blocks * Block::SIZE / 1024) as u64 > self.granted_kib {
            return Err(HashError::Corrupt);
        }
        if self.blocks.len() < blocks {
            self.blocks = Vec::new();
            self.blocks = vec![Block::default(); blocks];
        }
        let memory = self.blocks.get_mut(..blocks).ok_or(HashError::Corrupt)?;
        argon2.hash_password_into_with_memory(password, salt, out, memory).map_err(|_| HashError::Corrupt)
    }

    /// A hash as it is made today.
    fn hash_now(&mut self, params: Params, normal: &str, salt: &[u8]) -> Result<Zeroizing<[u8; OUTPUT]>, HashError> {
        self.made.current += 1;
        let mut out = Zeroizing::new([0; OUTPUT]);
        self.hash((Algorithm::Argon2id, params), normal.as_bytes(), salt, &mut *out).map(|()| out)
    }

    /// A new hash.
    pub(super) fn create(
        &mut self,
        params: Params,
        password: &Password,
        entropy: &dyn Entropy,
    ) -> Result<Phc, HashError> {
        self.create_of(params, &Forms::of(password).normal, entropy)
    }

    fn create_of(&mut self, params: Params, normal: &str, entropy: &dyn Entropy) -> Result<Phc, HashError> {
        let mut salt = [0; SALT];
        entropy.fill(&mut salt);
        let out = self.hash_now(params, normal, &salt)?;
        let text =
            ParamsString::from_str(&format!("m={},t={},p={}", params.memory_kib, params.iterations, params.lanes));
        let (params, hash, salt) = (text, Output::new(&*out), Salt::new(&salt));
        let (Ok(params), Ok(hash), Ok(salt)) = (params, hash, salt) else { return Err(HashError::Corrupt) };
        let phc = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params,
            salt: Some(salt),
            hash: Some(hash),
        };
        Ok(Phc::from_database(phc.to_string()))
    }

    /// Checks a password. Whatever comes of it, a hash of today's parameters was made: without a stored hash
    /// for nothing, so that the time it takes tells nobody whether the account exists; after a hash of another
    /// system, or of other parameters, to replace it or, where the password was wrong, for nothing too.
    pub(super) fn verify(
        &mut self,
        current: Params,
        password: &Password,
        stored: Option<&Stored>,
        entropy: &dyn Entropy,
    ) -> Result<Verdict, HashError> {
        let forms = Forms::of(password);
        let is_current = stored.is_some_and(|stored| stored.is_current(current));
        let mut found = None;
        for form in forms.all() {
            // Even of a hash that would be made so today: another system made it, and normalised nothing.
            let right = match stored {
                Some(stored) => self.is_made_of(stored, current, form.as_bytes())?,
                None => false,
            };
            if right && !forms.too_long {
                found = Some(form);
                break;
            }
            if !is_current {
                self.hash_now(current, form, &[0; SALT])?;
            }
        }
        match found {
            None => Ok(Verdict::Wrong),
            Some(form) if is_current && form == forms.normal.as_str() => Ok(Verdict::Right { rehash: None }),
            Some(_) => Ok(Verdict::Right { rehash: Some(self.create_of(current, &forms.normal, entropy)?) }),
        }
    }

    /// Whether a text made a stored hash.
    fn is_made_of(&mut self, stored: &Stored, current: Params, text: &[u8]) -> Result<bool, HashError> {
        let count = if stored.is_current(current) { &mut self.made.current } else { &mut self.made.other };
        *count += 1;
        let Stored::Argon2 { algorithm, params, salted: Salted { salt, hash } } = stored else {
            if stored.kib() > 0 {
                // Its library takes memory of its own: both together stay within what was granted.
                self.blocks = Vec::new();
            }
            return Ok(stored.is_made_of(text));
        };
        let mut made = Zeroizing::new(vec![0; hash.len()]);
        self.hash((*algorithm, *params), text, salt, &mut made)?;
        Ok(constant_time::verify_slices_are_equal(&made, hash).is_ok())
    }
}

/// The memory, in KiB, that checking a stored hash takes, and making a new one of it.
pub(super) fn memory_for(current: Params, stored: Option<&Stored>) -> u64 {
    u64::from(current.memory_kib).max(stored.map_or(0, Stored::kib))
}

#[cfg(test)]
mod tests;
