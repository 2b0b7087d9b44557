//! Which passwords may be chosen: a minimum length and a list of common passwords, but no composition rules
//! (NIST SP 800-63B-4 §3.1.1.2).

use unicode_normalization::UnicodeNormalization;

use crate::secret::Password;

/// The list, in lower case and sorted. Its licence and source are in the file beside it.
const COMMON: &str = include_str!("common_passwords.txt");
/// What is wrong with a new password that has to replace the same one.
pub const SAME_PASSWORD: &str = "must be another one than the current password";
/// What is wrong with a current password that is another one.
pub const WRONG_PASSWORD: &str = "is not the current password";

/// Maximum length, in bytes.
pub const MAX_BYTES: usize = 1024;

/// What is wrong with a chosen password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordProblem {
    /// Too short.
    #[error("must have at least {0} characters")]
    TooShort(usize),
    /// Too long.
    #[error("must be at most 1024 bytes")]
    TooLong,
    /// It contains NUL.
    #[error("must not contain NUL")]
    Nul,
    /// It is common, simple or one of the context words.
    #[error("is too common; choose another")]
    Common,
}

/// The policy for new passwords.
#[derive(Clone, Copy, Debug)]
pub struct PasswordPolicy {
    /// Minimum length, in Unicode code points.
    pub min_code_points: usize,
}

impl Default for PasswordPolicy {
    /// The minimum length for a password that is the only factor.
    fn default() -> Self {
        Self { min_code_points: 15 }
    }
}

impl PasswordPolicy {
    /// The policy beside so many second factors (NIST SP 800-63B-4 §3.1.1.2).
    #[must_use]
    pub fn beside(second_factors: i64) -> Self {
        if second_factors > 0 { Self { min_code_points: 8 } } else { Self::default() }
    }

    /// Whether a password has as many characters as a new one needs.
    #[must_use]
    pub fn is_long_enough(&self, password: &Password) -> bool {
        password.expose().nfc().take(self.min_code_points).count() >= self.min_code_points
    }

    /// Checks a new password. `context` holds words that identify the user, such as the login.
    ///
    /// # Errors
    /// A description of what is wrong.
    pub fn check(&self, password: &Password, context: &[&str]) -> Result<(), PasswordProblem> {
        let text = password.expose();
        if text.len() > MAX_BYTES {
            return Err(PasswordProblem::TooLong);
        }
        if text.contains('\0') {
            return Err(PasswordProblem::Nul);
        }
        let normal: String = text.nfc().collect();
        if normal.chars().count() < self.min_code_points {
            return Err(PasswordProblem::TooShort(self.min_code_points));
        }
        let lower = normal.to_lowercase();
        let own = context.iter().any(|word| word.nfc().collect::<String>().to_lowercase() == lower);
        if own || is_common(&lower) || is_simple(&lower) { Err(PasswordProblem::Common) } else { Ok(()) }
    }
}

/// Whether the password is on the list. Listed passwords are short, so a repeated one counts as well.
fn is_common(lower: &str) -> bool {
    let listed = |word: &str| {
        // A linear scan is fast enough: passwords are set rarely.
        COMMON.lines().any(|line| line == word)
    };
    listed(lower) || repeated_unit(lower).is_some_and(listed)
}

/// The shorter text that this one consists of repetitions of, if any.
fn repeated_unit(text: &str) -> Option<&str> {
    let candidates = (1..=text.len() / 2).filter(|n| text.len().is_multiple_of(*n));
    candidates.filter_map(|n| text.get(..n)).find(|unit| unit.repeat(text.len() / unit.len()) == text)
}

/// Whether the text repeats a short one, or is mostly one character or a run such as `abc` or `321`.
fn is_simple(text: &str) -> bool {
    let steps: Vec<i64> = text
        .chars()
        .zip(text.chars().skip(1))
        .map(|(a, b)| i64::from(u32::from(b)) - i64::from(u32::from(a)))
        .collect();
    let even = |step: &i64| steps.iter().filter(|s| *s == step).count() * 10 >= steps.len() * 9;
    repeated_unit(text).is_some_and(|unit| unit.chars().count() <= 3) || [-1, 0, 1].iter().any(even)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), PasswordProblem> {
        PasswordPolicy::default().check(&Password::new(text.to_owned()), &["ada.lovelace.of.london"])
    }

    #[test]
    fn p01_length_counts_code_points_and_a_passphrase_passes() {
        assert_eq!(check("correct horse battery staple"), Ok(()));
        assert_eq!(check("fourteen chars"), Err(PasswordProblem::TooShort(15)));
        assert_eq!(check(&"é".repeat(1025)), Err(PasswordProblem::TooLong));
        assert_eq!(check("a password with \0 inside"), Err(PasswordProblem::Nul));
    }

    #[test]
    fn a42_sixty_four_different_emoji_are_a_password() {
        let emoji: String = (0..64u32).filter_map(|n| char::from_u32(0x1f300 + n * 7 % 512)).collect();
        assert_eq!(check(&emoji), Ok(()));
    }

    #[test]
    fn p03_common_passwords_are_refused() {
        for common in
            ["passwordpassword", "aaaaaaaaaaaaaaaa", "abcdefghijklmnopq", "abcabcabcabcabc", "Ada.Lovelace.of.London"]
        {
            assert_eq!(check(common), Err(PasswordProblem::Common), "{common}");
        }
        let short = PasswordPolicy { min_code_points: 8 };
        assert_eq!(short.check(&Password::new("PASSWORD1".to_owned()), &[]), Err(PasswordProblem::Common));
    }
}
