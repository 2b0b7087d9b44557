//! Argon2id in PHC form.

use std::{fmt, str::FromStr};

use argon2::{
    Algorithm, Argon2, Block, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use aws_lc_rs::constant_time;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::{HashError, Verdict};
use crate::{entropy::Entropy, secret::Password};

/// Most memory that a stored hash may ask for, in KiB, and most iterations and lanes.
const CAPS: (u32, u32, u32) = (1 << 20, 10, 16);
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

/// A password hash as the database keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct Phc(String);

impl Phc {
    /// Takes what the database holds.
    #[must_use]
    pub fn from_database(text: String) -> Self {
        Self(text)
    }

    /// For the database.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phc(…)")
    }
}

/// Memory that one thread hashes in, kept from one password to the next.
#[derive(Default)]
pub(super) struct Arena(Vec<Block>);

impl Arena {
    /// Its size.
    pub(super) fn kib(&self) -> u64 {
        (self.0.len() * Block::SIZE / 1024) as u64
    }

    /// Takes memory in place of what it has.
    pub(super) fn resize(&mut self, kib: u64) {
        self.0 = Vec::new();
        self.0 = vec![Block::default(); usize::try_from(kib).unwrap_or(0) * 1024 / Block::SIZE];
    }

    fn hash(&mut self, params: Params, password: &[u8], salt: &[u8], out: &mut [u8]) -> Result<(), HashError> {
        let p = argon2::Params::new(params.memory_kib, params.iterations, params.lanes, Some(out.len()));
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, p.map_err(|_| HashError::Corrupt)?);
        let memory = self.0.get_mut(..argon2.params().block_count()).ok_or(HashError::Corrupt)?;
        argon2.hash_password_into_with_memory(password, salt, out, memory).map_err(|_| HashError::Corrupt)
    }

    /// A new hash.
    pub(super) fn create(
        &mut self,
        params: Params,
        password: &Password,
        entropy: &dyn Entropy,
    ) -> Result<Phc, HashError> {
        let (normal, mut salt, mut out) = (normalize(password), [0; SALT], Zeroizing::new([0; OUTPUT]));
        entropy.fill(&mut salt);
        self.hash(params, normal.as_bytes(), &salt, &mut *out)?;
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
        Ok(Phc(phc.to_string()))
    }

    /// Checks a password. Without a stored hash it does the same work for nothing, so that the time it
    /// takes tells nobody whether the account exists.
    pub(super) fn verify(
        &mut self,
        current: Params,
        password: &Password,
        stored: Option<&Phc>,
        entropy: &dyn Entropy,
    ) -> Result<Verdict, HashError> {
        let normal = normalize(password);
        let Some(stored) = stored else {
            let mut out = [0; OUTPUT];
            self.hash(current, normal.as_bytes(), &[0; SALT], &mut out)?;
            return Ok(Verdict::Wrong);
        };
        let (params, salt, want) = parse(stored)?;
        let mut out = Zeroizing::new(vec![0; want.len()]);
        self.hash(params, normal.as_bytes(), &salt, &mut out)?;
        if password.expose().len() > MAX_BYTES || constant_time::verify_slices_are_equal(&out, &want).is_err() {
            return Ok(Verdict::Wrong);
        }
        let old = params != current || salt.len() != SALT || want.len() != OUTPUT;
        let rehash = if old { Some(self.create(current, password, entropy)?) } else { None };
        Ok(Verdict::Right { rehash })
    }
}

/// The memory, in KiB, that checking a stored hash takes, and making a new one of it.
pub(super) fn memory_for(current: Params, stored: Option<&Phc>) -> Result<u64, HashError> {
    let stored = stored.map(parse).transpose()?.map_or(0, |(params, _, _)| params.memory_kib);
    Ok(u64::from(current.memory_kib.max(stored)))
}

/// One text for what looks the same, at setting and checking alike (SP 800-63B-4 §3.1.1.2).
fn normalize(password: &Password) -> Zeroizing<String> {
    let bounded = password.expose();
    let end = bounded.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|end| *end <= MAX_BYTES).last();
    Zeroizing::new(bounded.get(..end.unwrap_or(0)).unwrap_or_default().nfc().collect())
}

/// Reads a stored hash, within the caps.
fn parse(stored: &Phc) -> Result<(Params, Vec<u8>, Vec<u8>), HashError> {
    let phc = PasswordHash::new(stored.as_str()).map_err(|_| HashError::Corrupt)?;
    let number = |name: &str| phc.params.get_decimal(name).ok_or(HashError::Corrupt);
    let params = Params { memory_kib: number("m")?, iterations: number("t")?, lanes: number("p")? };
    let (Some(salt), Some(hash)) = (phc.salt, phc.hash) else { return Err(HashError::Corrupt) };
    let (salt, hash): (&[u8], &[u8]) = (salt.as_ref(), hash.as_ref());
    let good = phc.algorithm == Algorithm::Argon2id.ident()
        && phc.version == Some(Version::V0x13.into())
        && (8..=CAPS.0).contains(&params.memory_kib)
        && (1..=CAPS.1).contains(&params.iterations)
        && (1..=CAPS.2).contains(&params.lanes)
        && (8..=64).contains(&salt.len())
        && (16..=64).contains(&hash.len());
    if good { Ok((params, salt.to_vec(), hash.to_vec())) } else { Err(HashError::Corrupt) }
}
