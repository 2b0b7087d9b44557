//! Argon2, and checking passwords at a constant cost.

use std::str::FromStr;

use argon2::{
    Algorithm, Argon2, Block, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use aws_lc_rs::constant_time;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::{
    HashError, Made, Params, PasswordVerdict, Phc,
    phc::{Salted, Stored},
};
use crate::{entropy::Entropy, secret::Password};

/// Maximum length of a password, in bytes. A longer one never matches.
const MAX_BYTES: usize = 1024;
const SALT: usize = 16;
const OUTPUT: usize = 32;

impl Stored {
    /// Whether the hash has the algorithm and parameters of new hashes.
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

/// The two forms of a password that a hash may have been made from.
struct Forms<'a> {
    /// Normalised, so that different encodings of the same text match (SP 800-63B-4 §3.1.1.2).
    normal: Zeroizing<String>,
    /// As typed, if that differs. Most other systems do not normalise.
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

/// The memory in which a thread hashes, reused from one password to the next.
#[derive(Default)]
pub(super) struct Arena {
    granted_kib: u64,
    /// Allocated when first needed, within what was granted.
    blocks: Vec<Block>,
    /// The hashes computed since this was last reset.
    pub(super) made: Made,
}

impl Arena {
    /// An arena with this much memory, none of it allocated yet.
    pub(super) fn granted(granted_kib: u64) -> Self {
        Self { granted_kib, ..Self::default() }
    }

    /// How much it may allocate.
    pub(super) fn memory_kib(&self) -> u64 {
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

    /// Computes a hash with the current parameters.
    fn hash_current(
        &mut self,
        params: Params,
        normal: &str,
        salt: &[u8],
    ) -> Result<Zeroizing<[u8; OUTPUT]>, HashError> {
        self.made.current += 1;
        let mut out = Zeroizing::new([0; OUTPUT]);
        self.hash((Algorithm::Argon2id, params), normal.as_bytes(), salt, &mut *out).map(|()| out)
    }

    /// Makes a new hash of a password.
    pub(super) fn create(
        &mut self,
        params: Params,
        password: &Password,
        entropy: &dyn Entropy,
    ) -> Result<Phc, HashError> {
        self.create_normalized(params, &Forms::of(password).normal, entropy)
    }

    fn create_normalized(&mut self, params: Params, normal: &str, entropy: &dyn Entropy) -> Result<Phc, HashError> {
        let mut salt = [0; SALT];
        entropy.fill(&mut salt);
        let out = self.hash_current(params, normal, &salt)?;
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

    /// Checks a password. In every case one hash with the current parameters is computed, so that the time taken does
    /// not reveal whether the account exists. Without a stored hash, the result is discarded. If the stored hash has
    /// another algorithm or other parameters, the result replaces it, or is discarded if the password is wrong.
    pub(super) fn verify(
        &mut self,
        current: Params,
        password: &Password,
        stored: Option<&Stored>,
        entropy: &dyn Entropy,
    ) -> Result<PasswordVerdict, HashError> {
        let forms = Forms::of(password);
        let is_current = stored.is_some_and(|stored| stored.is_current(current));
        let mut found = None;
        for form in forms.all() {
            // Try this form even if the parameters are current: another system may have made the hash, without
            // normalising.
            let right = match stored {
                Some(stored) => self.hash_matches(stored, current, form.as_bytes())?,
                None => false,
            };
            if right && !forms.too_long {
                found = Some(form);
                break;
            }
            if !is_current {
                self.hash_current(current, form, &[0; SALT])?;
            }
        }
        match found {
            None => Ok(PasswordVerdict::Wrong),
            Some(form) if is_current && form == forms.normal.as_str() => Ok(PasswordVerdict::Right { rehash: None }),
            Some(_) => {
                Ok(PasswordVerdict::Right { rehash: Some(self.create_normalized(current, &forms.normal, entropy)?) })
            }
        }
    }

    /// Whether a stored hash was made from a text.
    fn hash_matches(&mut self, stored: &Stored, current: Params, text: &[u8]) -> Result<bool, HashError> {
        let count = if stored.is_current(current) { &mut self.made.current } else { &mut self.made.other };
        *count += 1;
        let Stored::Argon2 { algorithm, params, salted: Salted { salt, hash } } = stored else {
            if stored.memory_kib() > 0 {
                // The other library allocates its own memory. Free ours, to stay within what was granted.
                self.blocks = Vec::new();
            }
            return Ok(stored.matches(text));
        };
        let mut made = Zeroizing::new(vec![0; hash.len()]);
        self.hash((*algorithm, *params), text, salt, &mut made)?;
        Ok(constant_time::verify_slices_are_equal(&made, hash).is_ok())
    }
}

/// The memory, in KiB, needed to check a stored hash and to make a new one.
pub(super) fn memory_for(current: Params, stored: Option<&Stored>) -> u64 {
    u64::from(current.memory_kib).max(stored.map_or(0, Stored::memory_kib))
}

#[cfg(test)]
mod tests;
