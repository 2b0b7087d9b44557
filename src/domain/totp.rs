//! Codes that an app shows, a new one every half minute: TOTP (RFC 6238) with SHA-1, six digits and steps of 30 seconds,
//! which every app knows.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use data_encoding::BASE32_NOPAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::{
    entropy::Entropy,
    secret::{TotpSecret, TypedCode},
    time::Timestamp,
};

/// Length of the secret in bytes: as RFC 4226 §4 recommends.
const KEY_BYTES: usize = 20;
/// Number of digits in a code.
const DIGITS: usize = 6;
/// How long each code is shown, in seconds.
const STEP: i64 = 30;
/// The longest name in a URI, in characters. Apps show little more, and QR codes have limited room.
const MAX_NAME: usize = 64;

/// What stands for itself in a URI: the unreserved characters of RFC 3986 §2.3.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The secret that an app and this server share. It is wiped when dropped.
pub struct TotpKey(Zeroizing<[u8; KEY_BYTES]>);

/// What is wrong with a text that is no code.
pub const NO_APP_CODE: &str = "must be the 6 digits that the app shows";

/// What was typed is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{NO_APP_CODE}")]
pub struct TotpCodeError;

/// A code as it was typed: six digits. It is wiped when dropped.
pub struct TotpCode(Zeroizing<[u8; DIGITS]>);

impl fmt::Debug for TotpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpKey(…)")
    }
}

impl fmt::Debug for TotpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpCode(…)")
    }
}

impl TotpCode {
    /// Reads a code. Spaces do not count, because apps show codes in groups.
    ///
    /// # Errors
    /// It is something else than six ASCII digits.
    pub fn parse(typed: &TypedCode) -> Result<Self, TotpCodeError> {
        let mut digits = Zeroizing::new([0; DIGITS]);
        let mut typed = typed.expose().bytes().filter(|b| *b != b' ');
        for place in digits.iter_mut() {
            *place = typed.next().filter(u8::is_ascii_digit).ok_or(TotpCodeError)?;
        }
        if typed.next().is_some() { Err(TotpCodeError) } else { Ok(Self(digits)) }
    }
}

impl TotpKey {
    /// A new key.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(&mut *key);
        Self(key)
    }

    /// The key of these bytes; nothing if their number is another.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|key| Self(Zeroizing::new(key)))
    }

    /// The bytes, to be sealed.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &*self.0
    }

    /// The key in base 32, for those who type it.
    #[must_use]
    pub fn secret(&self) -> TotpSecret {
        TotpSecret::new(BASE32_NOPAD.encode(&*self.0))
    }

    /// The URI that apps read, with the names that they show: whose service it is, and which account.
    #[must_use]
    pub fn uri(&self, issuer: &str, account: &str) -> TotpSecret {
        let (issuer, account) = (percent_encoded(issuer), percent_encoded(account));
        let secret = Zeroizing::new(BASE32_NOPAD.encode(&*self.0));
        let label = format!("otpauth://totp/{issuer}:{account}");
        let rest = format!("&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP}");
        TotpSecret::new(format!("{label}?secret={}{rest}", *secret))
    }

    /// The step in which this code is shown: the current one, or that before or after it (RFC 6238 §5.2). All three are
    /// compared, however early one is equal.
    #[must_use]
    pub fn step_of(&self, code: &TotpCode, now: Timestamp) -> Option<i64> {
        let current = now.seconds().div_euclid(STEP);
        let mut found = None;
        for step in [current - 1, current, current + 1] {
            if constant_time::verify_slices_are_equal(&*self.code_at(step), &*code.0).is_ok() {
                found = Some(step);
            }
        }
        found
    }

    /// The code that is shown in a step (RFC 4226 §5.3).
    fn code_at(&self, step: i64) -> Zeroizing<[u8; DIGITS]> {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &*self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag.last().copied().unwrap_or_default() & 0x0f);
        let four = tag.get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
        let mut number = u32::from_be_bytes(four) & 0x7fff_ffff;
        let mut digits = Zeroizing::new([0; DIGITS]);
        for place in digits.iter_mut().rev() {
            *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        }
        digits
    }
}

/// A name as it stands in a URI, cut. A colon would end the first of two names, even an encoded one.
fn percent_encoded(name: &str) -> String {
    let name: String = name.chars().take(MAX_NAME).map(|c| if c == ':' { ' ' } else { c }).collect();
    utf8_percent_encode(&name, NAME).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    fn rfc_key() -> TotpKey {
        TotpKey::from_bytes(b"12345678901234567890").unwrap()
    }

    fn typed(text: &str) -> Result<TotpCode, TotpCodeError> {
        TotpCode::parse(&TypedCode::new(text.to_owned()))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn p13_codes_are_those_of_rfc_6238_appendix_b() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = rfc_key().step_of(&typed(code).unwrap(), at(seconds));
            assert_eq!(step, Some(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn p13_another_implementation_shows_the_same_codes() {
        for seed in 0..50 {
            let key = TotpKey::generate(&SeededEntropy::new(seed));
            let app = totp_rs::Builder::new().with_secret(*key.0).build().unwrap();
            let seconds = 1_893_456_000 + i64::try_from(seed).unwrap() * 977;
            let code = app.generate(seconds.unsigned_abs()).to_string();
            assert_eq!(key.step_of(&typed(&code).unwrap(), at(seconds)), Some(seconds / 30), "{seed}");
        }
    }

    #[test]
    fn p15_a_code_counts_one_step_early_or_late_and_no_longer() {
        let (key, now) = (rfc_key(), 1_234_567_890);
        let code = || typed("005924").unwrap();
        let step = now / 30;
        for (shift, found) in [(-60, None), (-30, Some(step)), (0, Some(step)), (30, Some(step)), (60, None)] {
            assert_eq!(key.step_of(&code(), at(now + shift)), found, "{shift}");
        }
    }

    #[test]
    fn a46_only_six_ascii_digits_are_a_code_and_spaces_do_not_count() {
        for good in ["005924", "005 924", " 005924 ", "0 0 5 9 2 4"] {
            assert!(typed(good).is_ok(), "{good:?}");
        }
        for bad in
            ["", "   ", "05924", "0059245", "00592a", "００５９２４", "005-924", "005\u{a0}924", "+05924", "005924\n"]
        {
            assert_eq!(typed(bad).unwrap_err(), TotpCodeError, "{bad:?}");
        }
        assert_eq!(TotpCodeError.to_string(), NO_APP_CODE);
    }

    #[test]
    fn the_uri_has_both_names_and_the_secret() {
        assert_eq!(rfc_key().secret().expose(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let uri = rfc_key().uri("Zoë's: Shop", "ada+x@example.org");
        assert_eq!(
            uri.expose(),
            "otpauth://totp/Zo%C3%AB%27s%20%20Shop:ada%2Bx%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Zo%C3%AB%27s%20%20Shop&algorithm=SHA1&digits=6&period=30"
        );
        let long = rfc_key().uri(&"€".repeat(500), &"x".repeat(1000));
        assert!(long.expose().len() < 1400, "{}", long.expose().len());
    }

    #[test]
    fn nothing_of_it_prints() {
        assert_eq!(format!("{:?} {:?}", rfc_key(), typed("005924").unwrap()), "TotpKey(…) TotpCode(…)");
    }
}
