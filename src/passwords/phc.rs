//! Parses stored hashes, strictly and within limits, before any work is done for them.

use std::{fmt, num::NonZeroU32, ops::RangeInclusive};

use aws_lc_rs::pbkdf2;
use base64::{
    Engine,
    alphabet::BCRYPT,
    engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD_NO_PAD},
};

use super::Params;

/// Maximum length of the text of a hash.
const MAX_TEXT: usize = 512;
/// Argon2: memory in KiB, iterations and lanes.
const ARGON2: (RangeInclusive<u32>, RangeInclusive<u32>, RangeInclusive<u32>) = (8..=1 << 20, 1..=10, 1..=16);
/// bcrypt: the cost. 2^14 rounds take about a second.
const BCRYPT_COST: RangeInclusive<u32> = 4..=14;
/// scrypt: the logarithm of N, block size and lanes. The resulting memory is limited as well.
const SCRYPT: (RangeInclusive<u32>, RangeInclusive<u32>, RangeInclusive<u32>) = (1..=24, 1..=64, 1..=16);
const SCRYPT_BYTES: u64 = 1 << 30;
/// PBKDF2: iterations.
const PBKDF2: RangeInclusive<u32> = 1_000..=2_000_000;
/// Lengths of salts and hashes, in bytes.
const SALT: RangeInclusive<usize> = 8..=64;
const OUTPUT: RangeInclusive<usize> = 16..=64;

/// bcrypt's own base 64 alphabet. Some programs leave unused trailing bits set.
const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(&BCRYPT, NO_PAD.with_decode_allow_trailing_bits(true));

/// Why a text is not an acceptable hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhcProblem {
    /// The algorithm is unknown.
    #[error("must be a hash of Argon2id, Argon2i, bcrypt, scrypt or PBKDF2 in PHC form")]
    Unknown,
    /// Argon2d is vulnerable to cache timing attacks (RFC 9106 §4).
    #[error("Argon2d is not accepted")]
    Argon2d,
    /// An older version of Argon2 than that of RFC 9106.
    #[error("must use version 19 of Argon2 (v=19)")]
    Version,
    /// The text does not have the form of its algorithm.
    #[error("is malformed for its algorithm")]
    Form,
    /// A cost parameter is out of range.
    #[error("{0}")]
    Cost(OutOfRange),
    /// It needs too much memory.
    #[error("needs more than 1 GiB of memory, which is the most that is accepted")]
    Memory,
    /// The salt is too short or too long.
    #[error("the salt must be 8 to 64 bytes")]
    Salt,
    /// The hash itself is too short or too long.
    #[error("the hash must be 16 to 64 bytes")]
    Output,
}

/// A cost parameter that is not accepted, and what would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    what: &'static str,
    value: u32,
    least: u32,
    most: u32,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, value, least, most } = self;
        if value > most {
            write!(f, "{what} {value} is above {most}")
        } else {
            write!(f, "{what} {value} is below {least}")
        }
    }
}

/// A password hash as stored in the database.
#[derive(Clone, PartialEq, Eq)]
pub struct Phc(String);

impl Phc {
    /// Wraps a text read from the database. It is parsed when it is used.
    #[must_use]
    pub fn from_database(text: String) -> Self {
        Self(text)
    }

    /// Checks the text of a hash made by this or another system. No hash is computed.
    ///
    /// # Errors
    /// A description of what is wrong; never the text itself.
    pub fn parse(text: &str) -> Result<Self, PhcProblem> {
        Stored::parse(text).map(|_| Self(text.to_owned()))
    }

    /// The text, for the database.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an Argon2id hash, with any parameters.
    #[must_use]
    pub fn is_argon2id(&self) -> bool {
        self.0.starts_with("$argon2id$")
    }
}

impl fmt::Debug for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phc(…)")
    }
}

/// A salt and the hash made with it.
pub(super) struct Salted {
    pub(super) salt: Vec<u8>,
    pub(super) hash: Vec<u8>,
}

/// A parsed hash, whose costs are within the limits.
pub(super) enum Stored {
    /// Argon2 (RFC 9106), version 19.
    Argon2 { algorithm: argon2::Algorithm, params: Params, salted: Salted },
    /// bcrypt (Provos and Mazières, 1999).
    Bcrypt { cost: u32, salt: [u8; 16], hash: [u8; 23] },
    /// scrypt (RFC 7914).
    Scrypt { params: scrypt::Params, kib: u64, salted: Salted },
    /// PBKDF2 (RFC 8018 §5.2).
    Pbkdf2 { algorithm: pbkdf2::Algorithm, iterations: NonZeroU32, salted: Salted },
}

impl Stored {
    /// Parses the text of a hash.
    pub(super) fn parse(text: &str) -> Result<Self, PhcProblem> {
        if text.len() > MAX_TEXT {
            return Err(PhcProblem::Form);
        }
        let rest = text.strip_prefix('$').ok_or(PhcProblem::Unknown)?;
        let (kind, rest) = rest.split_once('$').ok_or(PhcProblem::Unknown)?;
        match kind {
            "argon2id" => parse_argon2(argon2::Algorithm::Argon2id, rest),
            "argon2i" => parse_argon2(argon2::Algorithm::Argon2i, rest),
            "argon2d" => Err(PhcProblem::Argon2d),
            // The three versions mark bugs of old implementations, none of which apply here.
            "2a" | "2b" | "2y" => parse_bcrypt(rest),
            "scrypt" => parse_scrypt(rest),
            "pbkdf2" | "pbkdf2-sha1" => parse_pbkdf2(pbkdf2::PBKDF2_HMAC_SHA1, rest),
            "pbkdf2-sha256" => parse_pbkdf2(pbkdf2::PBKDF2_HMAC_SHA256, rest),
            "pbkdf2-sha512" => parse_pbkdf2(pbkdf2::PBKDF2_HMAC_SHA512, rest),
            _ => Err(PhcProblem::Unknown),
        }
    }

    /// The memory needed to check it, in KiB.
    pub(super) fn memory_kib(&self) -> u64 {
        match self {
            Self::Argon2 { params, .. } => u64::from(params.memory_kib),
            Self::Scrypt { kib, .. } => *kib,
            Self::Bcrypt { .. } | Self::Pbkdf2 { .. } => 0,
        }
    }
}

/// `v=19$m=19456,t=2,p=1$SALT$HASH`.
fn parse_argon2(algorithm: argon2::Algorithm, rest: &str) -> Result<Stored, PhcProblem> {
    // A missing version means the first one (PHC string format, Argon2).
    let rest = rest.strip_prefix("v=19$").ok_or(PhcProblem::Version)?;
    let ([m, t, p], salted) = parse_fields(rest, ["m", "t", "p"])?;
    within(p, "Argon2 lanes (p)", &ARGON2.2)?;
    // RFC 9106 §3.1.
    within(m, "Argon2 memory in KiB (m)", &(8 * p..=*ARGON2.0.end()))?;
    within(t, "Argon2 iterations (t)", &ARGON2.1)?;
    Ok(Stored::Argon2 { algorithm, params: Params { memory_kib: m, iterations: t, lanes: p }, salted })
}

/// `CC$` and 53 characters.
fn parse_bcrypt(rest: &str) -> Result<Stored, PhcProblem> {
    let (cost, rest) = rest.split_once('$').ok_or(PhcProblem::Form)?;
    let digits = cost.len() == 2 && cost.bytes().all(|b| b.is_ascii_digit());
    let cost = cost.parse().ok().filter(|_| digits).ok_or(PhcProblem::Form)?;
    within(cost, "bcrypt cost", &BCRYPT_COST)?;
    let (salt, hash) = rest.split_at_checked(22).filter(|(_, hash)| hash.len() == 31).ok_or(PhcProblem::Form)?;
    let decoded = |text| BCRYPT_BASE64.decode(text).map_err(|_| PhcProblem::Form);
    let (salt, hash) = (decoded(salt)?.try_into(), decoded(hash)?.try_into());
    let (Ok(salt), Ok(hash)) = (salt, hash) else { return Err(PhcProblem::Form) };
    Ok(Stored::Bcrypt { cost, salt, hash })
}

/// `ln=15,r=8,p=1$SALT$HASH`.
fn parse_scrypt(rest: &str) -> Result<Stored, PhcProblem> {
    let ([ln, r, p], salted) = parse_fields(rest, ["ln", "r", "p"])?;
    within(ln, "scrypt log2 of N (ln)", &SCRYPT.0)?;
    within(r, "scrypt block size (r)", &SCRYPT.1)?;
    within(p, "scrypt lanes (p)", &SCRYPT.2)?;
    let block = 128 * u64::from(r);
    let table = block << ln;
    if table > SCRYPT_BYTES {
        return Err(PhcProblem::Memory);
    }
    let log_n = u8::try_from(ln).map_err(|_| PhcProblem::Form)?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| PhcProblem::Form)?;
    // The table, which the lanes share, one block per lane, and one working block.
    let kib = (table + block * (u64::from(p) + 1)).div_ceil(1024);
    Ok(Stored::Scrypt { params, kib, salted })
}

/// `i=600000$SALT$HASH`.
fn parse_pbkdf2(algorithm: pbkdf2::Algorithm, rest: &str) -> Result<Stored, PhcProblem> {
    let ([i], salted) = parse_fields(rest, ["i"])?;
    within(i, "PBKDF2 iterations (i)", &PBKDF2)?;
    let iterations = NonZeroU32::new(i).ok_or(PhcProblem::Form)?;
    Ok(Stored::Pbkdf2 { algorithm, iterations, salted })
}

/// Parses parameters, salt and hash of a text in PHC form. Each parameter must be given exactly once; the length of
/// the hash, `l`, is optional.
fn parse_fields<const N: usize>(rest: &str, names: [&str; N]) -> Result<([u32; N], Salted), PhcProblem> {
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
    let length_matches = length.is_none_or(|l: u32| usize::try_from(l).is_ok_and(|l| l == salted.hash.len()));
    if !OUTPUT.contains(&salted.hash.len()) || !length_matches {
        return Err(PhcProblem::Output);
    }
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(values) {
        *to = from.ok_or(PhcProblem::Form)?;
    }
    Ok((out, salted))
}

/// Parses a decimal number without a sign or leading zeros.
fn number(text: &str) -> Result<u32, PhcProblem> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(PhcProblem::Form)
}

fn base64(text: &str) -> Result<Vec<u8>, PhcProblem> {
    STANDARD_NO_PAD.decode(text).map_err(|_| PhcProblem::Form)
}

fn within(value: u32, what: &'static str, range: &RangeInclusive<u32>) -> Result<(), PhcProblem> {
    let (least, most) = (*range.start(), *range.end());
    if range.contains(&value) { Ok(()) } else { Err(PhcProblem::Cost(OutOfRange { what, value, least, most })) }
}
