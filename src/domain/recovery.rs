//! Recovery codes: what a user has written down for the day when the second factor is lost.

use zeroize::Zeroizing;

use crate::{
    entropy::Entropy,
    id::UserId,
    secret::{RecoveryCode, RecoveryCodeHash, TypedCode, sha256},
};

/// How many codes a user is given.
pub const RECOVERY_CODES: u8 = 10;
/// What is wrong with a text that cannot be a code.
pub const NO_RECOVERY_CODE: &str = "must be a recovery code: 25 letters and digits";
/// Number of characters in a code, with five random bits each.
const CHARS: usize = 25;
/// Number of characters between two hyphens.
const GROUP: usize = 5;

/// Crockford's alphabet: no letter in it is taken for another, or for a digit.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// New codes, none like another.
#[must_use]
pub fn generate(entropy: &dyn Entropy) -> Vec<RecoveryCode> {
    made_of(|_| Zeroizing::new(entropy.bytes32()))
}

/// Codes that are made of random bits, which each number has of its own.
#[must_use]
pub fn made_of(random: impl Fn(u8) -> Zeroizing<[u8; 32]>) -> Vec<RecoveryCode> {
    (0..RECOVERY_CODES).map(|number| code_of(&random(number))).collect()
}

/// A code of 125 random bits.
fn code_of(random: &[u8; 32]) -> RecoveryCode {
    let mut text = String::with_capacity(CHARS + CHARS / GROUP);
    for (n, byte) in random.iter().take(CHARS).enumerate() {
        if n > 0 && n.is_multiple_of(GROUP) {
            text.push('-');
        }
        text.push(char::from(ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or_default()));
    }
    RecoveryCode::new(text)
}

/// The hash of a code, bound to its user. The code has more than 112 random bits, so a plain hash is enough (NIST SP
/// 800-63B-4 §3.1.2.2). Nothing, if what was typed cannot be a code.
#[must_use]
pub fn hash_of(user: &UserId, typed: &TypedCode) -> Option<RecoveryCodeHash> {
    let code = normalised(typed.expose())?;
    let text = Zeroizing::new(format!("recovery code v1\0{user}\0{}", *code));
    Some(RecoveryCodeHash(sha256(text.as_bytes())))
}

/// A code in its canonical form. Case, spaces and hyphens of any kind do not count, and letters that are taken for digits
/// are those digits.
fn normalised(typed: &str) -> Option<Zeroizing<String>> {
    let mut out = Zeroizing::new(String::with_capacity(CHARS));
    for char in typed.chars() {
        if char.is_whitespace() || matches!(char, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ad}') {
            continue;
        }
        let char = match char.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        let known = u8::try_from(char).is_ok_and(|byte| ALPHABET.contains(&byte));
        if !known || out.len() == CHARS {
            return None;
        }
        out.push(char);
    }
    (out.len() == CHARS).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entropy::SeededEntropy, time::Timestamp};

    fn hash(user: &UserId, text: &str) -> Option<[u8; 32]> {
        hash_of(user, &TypedCode::new(text.to_owned())).map(|hash| hash.0)
    }

    #[test]
    fn p16_codes_have_more_than_112_bits_and_none_is_like_another() {
        let codes = generate(&SeededEntropy::new(7));
        let texts: std::collections::BTreeSet<&str> = codes.iter().map(RecoveryCode::expose).collect();
        assert_eq!((texts.len(), CHARS * 5), (usize::from(RECOVERY_CODES), 125));
        assert!(texts.iter().all(|text| text.len() == 29 && text.split('-').all(|group| group.len() == GROUP)));
        assert!(!format!("{codes:?}").contains(codes[0].expose()));
    }

    #[test]
    fn a47_case_spaces_hyphens_and_letters_like_digits_do_not_matter() {
        let user = UserId::new(Timestamp::from_millis(0), &SeededEntropy::new(1));
        let (code, same) = ("0123A-56789-ABCDE-FGHJK-MNPQ1", hash(&user, "0123A56789ABCDEFGHJKMNPQ1"));
        assert!(same.is_some());
        let variants = [
            code.to_owned(),
            code.to_lowercase(),
            code.replace('-', " "),
            code.replace('-', "–"),
            format!("\t{code}\n"),
            code.replacen('0', "O", 1).replace('1', "l"),
            code.replacen('0', "o", 1).replace('1', "I"),
        ];
        for variant in variants {
            assert_eq!(hash(&user, &variant), same, "{variant:?}");
        }
        for other in ["", "0123A", &code[1..], &format!("{code}0"), &code.replace('A', "U"), &code.replace('A', "Ａ")]
        {
            assert_eq!(hash(&user, other), None, "{other:?}");
        }
        let another = UserId::new(Timestamp::from_millis(1), &SeededEntropy::new(2));
        assert_ne!(hash(&another, code), same);
    }
}
