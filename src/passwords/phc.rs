//! The texts of stored hashes: read strictly and within caps, before any work is done for them.

use std::{fmt, num::NonZeroU32, ops::RangeInclusive};

use aws_lc_rs::pbkdf2;
use base64::{
    Engine,
    alphabet::BCRYPT,
    engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD_NO_PAD},
};

use super::Params;

/// Longest text of a hash.
const MAX_TEXT: usize = 512;
/// Memory of Argon2 in KiB, its iterations and its lanes.
const ARGON2: (RangeInclusive<u32>, RangeInclusive<u32>, RangeInclusive<u32>) = (8..=1 << 20, 1..=10, 1..=16);
/// The cost of bcrypt: 2^14 rounds take about a second.
const BCRYPT_COST: RangeInclusive<u32> = 4..=14;
/// The logarithm of scrypt's N, its block size and its lanes. What it takes together is bounded too.
const SCRYPT: (RangeInclusive<u32>, RangeInclusive<u32>, RangeInclusive<u32>) = (1..=24, 1..=64, 1..=16);
const SCRYPT_BYTES: u64 = 1 << 30;
/// Iterations of PBKDF2.
const PBKDF2: RangeInclusive<u32> = 1_000..=2_000_000;
/// Bytes of salts and of hashes.
const SALT: RangeInclusive<usize> = 8..=64;
const OUTPUT: RangeInclusive<usize> = 16..=64;

/// bcrypt's own order of base 64. Some programs leave bits set that do not count.
const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(&BCRYPT, NO_PAD.with_decode_allow_trailing_bits(true));

/// Why a text is no hash that may be kept here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhcProblem {
    /// None of those that are known.
    #[error("must be a hash of Argon2id, Argon2i, bcrypt, scrypt or PBKDF2 in PHC form")]
    Unknown,
    /// Argon2d can be watched through the processor's caches (RFC 9106 §4).
    #[error("Argon2d is not accepted")]
    Argon2d,
    /// An older Argon2 than that of RFC 9106.
    #[error("must use version 19 of Argon2 (v=19)")]
    Version,
    /// The text is not of its algorithm's form.
    #[error("is malformed for its algorithm")]
    Form,
    /// It asks for more work, or for less, than is allowed.
    #[error("the parameter {0} is out of range")]
    Cost(&'static str),
    /// It asks for more memory than is allowed.
    #[error("needs more than 1 GiB")]
    Memory,
    /// The salt is too short or too long.
    #[error("the salt must be 8 to 64 bytes")]
    Salt,
    /// The hash itself is too short or too long.
    #[error("the hash must be 16 to 64 bytes")]
    Output,
}

/// A password hash as the database keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct Phc(String);

impl Phc {
    /// Takes what the database holds; it is read again when it is used.
    #[must_use]
    pub fn from_database(text: String) -> Self {
        Self(text)
    }

    /// Reads a hash that this system or another has made. Nothing is computed.
    ///
    /// # Errors
    /// What is wrong with it; never the text itself.
    pub fn parse(text: &str) -> Result<Self, PhcProblem> {
        Stored::parse(text).map(|_| Self(text.to_owned()))
    }

    /// For the database.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is of the kind that is made here, under whatever parameters.
    #[must_use]
    pub fn is_argon2id(&self) -> bool {
        self.0.starts_with("$argon2id$")
    }

    /// The memory that checking it takes, in KiB; nothing if it is not to be checked.
    #[must_use]
    pub fn memory_kib(&self) -> u64 {
        Stored::parse(&self.0).map_or(0, |stored| stored.kib())
    }
}

impl fmt::Debug for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phc(…)")
    }
}

/// A salt and what was made with it.
pub(super) struct Salted {
    pub(super) salt: Vec<u8>,
    pub(super) hash: Vec<u8>,
}

/// A stored hash, read; its costs are within the caps.
pub(super) enum Stored {
    /// Argon2 (RFC 9106) of version 19.
    Argon2 { algorithm: argon2::Algorithm, params: Params, salted: Salted },
    /// bcrypt (Provos and Mazières, 1999).
    Bcrypt { cost: u32, salt: [u8; 16], hash: [u8; 23] },
    /// scrypt (RFC 7914).
    Scrypt { params: scrypt::Params, kib: u64, salted: Salted },
    /// PBKDF2 (RFC 8018 §5.2).
    Pbkdf2 { algorithm: pbkdf2::Algorithm, iterations: NonZeroU32, salted: Salted },
}

impl Stored {
    /// Reads a text.
    pub(super) fn parse(text: &str) -> Result<Self, PhcProblem> {
        if text.len() > MAX_TEXT {
            return Err(PhcProblem::Form);
        }
        let rest = text.strip_prefix('$').ok_or(PhcProblem::Unknown)?;
        let (kind, rest) = rest.split_once('$').ok_or(PhcProblem::Unknown)?;
        match kind {
            "argon2id" => argon2_of(argon2::Algorithm::Argon2id, rest),
            "argon2i" => argon2_of(argon2::Algorithm::Argon2i, rest),
            "argon2d" => Err(PhcProblem::Argon2d),
            // The three differ in mistakes that their makers had to tell apart, none of which is made here.
            "2a" | "2b" | "2y" => bcrypt_of(rest),
            "scrypt" => scrypt_of(rest),
            "pbkdf2" | "pbkdf2-sha1" => pbkdf2_of(pbkdf2::PBKDF2_HMAC_SHA1, rest),
            "pbkdf2-sha256" => pbkdf2_of(pbkdf2::PBKDF2_HMAC_SHA256, rest),
            "pbkdf2-sha512" => pbkdf2_of(pbkdf2::PBKDF2_HMAC_SHA512, rest),
            _ => Err(PhcProblem::Unknown),
        }
    }

    /// The memory that checking it takes, in KiB.
    pub(super) fn kib(&self) -> u64 {
        match self {
            Self::Argon2 { params, .. } => u64::from(params.memory_kib),
            Self::Scrypt { kib, .. } => *kib,
            Self::Bcrypt { .. } | Self::Pbkdf2 { .. } => 0,
        }
    }
}

/// `v=19$m=19456,t=2,p=1$SALT$HASH`.
fn argon2_of(algorithm: argon2::Algorithm, rest: &str) -> Result<Stored, PhcProblem> {
    // Without a version it is of the first one (PHC string format, Argon2).
    let rest = rest.strip_prefix("v=19$").ok_or(PhcProblem::Version)?;
    let ([m, t, p], salted) = phc(rest, ["m", "t", "p"])?;
    within(m, "m", &ARGON2.0)?;
    within(t, "t", &ARGON2.1)?;
    within(p, "p", &ARGON2.2)?;
    // RFC 9106 §3.1.
    if m < 8 * p {
        return Err(PhcProblem::Cost("m"));
    }
    Ok(Stored::Argon2 { algorithm, params: Params { memory_kib: m, iterations: t, lanes: p }, salted })
}

/// `CC$` and 53 characters.
fn bcrypt_of(rest: &str) -> Result<Stored, PhcProblem> {
    let (cost, rest) = rest.split_once('$').ok_or(PhcProblem::Form)?;
    let digits = cost.len() == 2 && cost.bytes().all(|b| b.is_ascii_digit());
    let cost = cost.parse().ok().filter(|_| digits).ok_or(PhcProblem::Form)?;
    within(cost, "cost", &BCRYPT_COST)?;
    let (salt, hash) = rest.split_at_checked(22).filter(|(_, hash)| hash.len() == 31).ok_or(PhcProblem::Form)?;
    let decoded = |text| BCRYPT_BASE64.decode(text).map_err(|_| PhcProblem::Form);
    let (salt, hash) = (decoded(salt)?.try_into(), decoded(hash)?.try_into());
    let (Ok(salt), Ok(hash)) = (salt, hash) else { return Err(PhcProblem::Form) };
    Ok(Stored::Bcrypt { cost, salt, hash })
}

/// `ln=15,r=8,p=1$SALT$HASH`.
fn scrypt_of(rest: &str) -> Result<Stored, PhcProblem> {
    let ([ln, r, p], salted) = phc(rest, ["ln", "r", "p"])?;
    within(ln, "ln", &SCRYPT.0)?;
    within(r, "r", &SCRYPT.1)?;
    within(p, "p", &SCRYPT.2)?;
    let block = 128 * u64::from(r);
    let table = block << ln;
    if table > SCRYPT_BYTES {
        return Err(PhcProblem::Memory);
    }
    let log_n = u8::try_from(ln).map_err(|_| PhcProblem::Cost("ln"))?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| PhcProblem::Form)?;
    // Beside the table, of which the lanes take turns, a block for each of them and one to work in.
    let kib = (table + block * (u64::from(p) + 1)).div_ceil(1024);
    Ok(Stored::Scrypt { params, kib, salted })
}

/// `i=600000$SALT$HASH`.
fn pbkdf2_of(algorithm: pbkdf2::Algorithm, rest: &str) -> Result<Stored, PhcProblem> {
    let ([i], salted) = phc(rest, ["i"])?;
    within(i, "i", &PBKDF2)?;
    let iterations = NonZeroU32::new(i).ok_or(PhcProblem::Cost("i"))?;
    Ok(Stored::Pbkdf2 { algorithm, iterations, salted })
}

/// Parameters, salt and hash, the rest of a text in PHC form. Each parameter stands once; the length of the
/// hash, `l`, may stand among them.
fn phc<const N: usize>(rest: &str, names: [&str; N]) -> Result<([u32; N], Salted), PhcProblem> {
    let mut fields = rest.split('$');
    let (Some(params), Some(salt), Some(hash), None) = (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(PhcProblem::Form);
    };
    let (mut values, mut length) = ([None; N], None);
    for param in params.split(',') {
        let (name, value) = param.split_once('=').ok_or(PhcProblem::Form)?;
        let at = names.iter().position(|n| *n == name);
        let slot = match at.and_then(|at| values.get_mut(at)) {
            Some(slot) => slot,
            None if name == "l" => &mut length,
            None => return Err(PhcProblem::Form),
        };
        if slot.replace(number(value)?).is_some() {
            return Err(PhcProblem::Form);
        }
    }
    let salted = Salted { salt: base64(salt)?, hash: base64(hash)? };
    if !SALT.contains(&salted.salt.len()) {
        return Err(PhcProblem::Salt);
    }
    let as_told = length.is_none_or(|l: u32| usize::try_from(l).is_ok_and(|l| l == salted.hash.len()));
    if !OUTPUT.contains(&salted.hash.len()) || !as_told {
        return Err(PhcProblem::Output);
    }
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(values) {
        *to = from.ok_or(PhcProblem::Form)?;
    }
    Ok((out, salted))
}

/// A decimal number as it is written once: no sign, no zeros before it.
fn number(text: &str) -> Result<u32, PhcProblem> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(PhcProblem::Form)
}

fn base64(text: &str) -> Result<Vec<u8>, PhcProblem> {
    STANDARD_NO_PAD.decode(text).map_err(|_| PhcProblem::Form)
}

fn within(value: u32, name: &'static str, range: &RangeInclusive<u32>) -> Result<(), PhcProblem> {
    if range.contains(&value) { Ok(()) } else { Err(PhcProblem::Cost(name)) }
}
