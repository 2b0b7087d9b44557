//! Mails: content, recipient and language, and when a failed one is retried.

mod asked;
mod content;

use std::{fmt, str::FromStr};

pub use self::{
    asked::{Asked, known_device},
    content::{Content, LinkAndCode, MailParams},
};
use super::login::{Login, LoginKind};
use crate::{
    id::MailId,
    time::{Timestamp, Ttl},
};

/// The wait before the first retry of a failed mail. Each further failure doubles it.
pub const FIRST_WAIT: Ttl = Ttl::from_secs(15);
/// The longest wait between two attempts.
pub const LONGEST_WAIT: Ttl = Ttl::from_secs(3600);
/// How long a notification of a change is worth sending.
pub const NOTICE_LIFETIME: Ttl = Ttl::from_days(3);
/// Maximum length of a language tag.
const MAX_LANGUAGE: usize = 35;

/// The languages that are written from right to left.
const RIGHT_TO_LEFT: [&str; 11] = ["ar", "arc", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"];

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The kinds of mail. Templates are named after them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum MailKind { $($(#[$doc])* $name,)* }

        impl MailKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in the database and in the file names of templates.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// Verifies that an address belongs to the user.
    VerifyEmail = "verify_email",
    /// Lets the user choose a new password.
    PasswordReset = "password_reset",
    /// Notifies the user that the password was changed.
    PasswordChanged = "password_changed",
    /// Notifies the old and the new address that the address was changed.
    EmailChanged = "email_changed",
    /// Notifies the user that somebody tried to register with the address of this account.
    AccountExists = "account_exists",
    /// Invites a new user.
    Invitation = "invitation",
    /// Notifies the user of a sign-in from an unknown device.
    NewDevice = "new_device",
    /// Notifies the user that a second factor was set up.
    FactorAdded = "factor_added",
    /// Notifies the user that a second factor was removed.
    FactorRemoved = "factor_removed",
    /// Notifies the user of new recovery codes. They are not in the mail.
    RecoveryCodes = "recovery_codes",
    /// Notifies the user that a recovery code was used.
    RecoveryCodeUsed = "recovery_code_used",
}

/// A text is not the name of a kind of mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a kind of mail")]
pub struct MailKindError;

impl FromStr for MailKind {
    type Err = MailKindError;
    fn from_str(text: &str) -> Result<Self, MailKindError> {
        Self::ALL.iter().find(|kind| kind.as_str() == text).copied().ok_or(MailKindError)
    }
}

/// The recipient of a mail: an address in canonical form. So mails go to exactly the address that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient(String);

/// A text is not an address in canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an address in canonical form")]
pub struct RecipientError;

impl Recipient {
    /// The address, if this login is one.
    #[must_use]
    pub fn of(login: &Login) -> Option<Self> {
        (login.kind() == LoginKind::Email).then(|| Self(login.canonical().to_owned()))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Recipient {
    type Err = RecipientError;
    /// Accepts only the canonical form, so that a text altered in the database does not become an address.
    fn from_str(text: &str) -> Result<Self, RecipientError> {
        let address = Login::parse(text).ok().as_ref().and_then(Self::of);
        address.filter(|a| a.0 == text).ok_or(RecipientError)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A language tag (BCP 47) in lower case, such as `de` or `pt-br`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Language(String);

impl Default for Language {
    fn default() -> Self {
        Self("en".to_owned())
    }
}

/// A text is not a language tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a language tag such as de or pt-BR")]
pub struct LanguageError;

impl Language {
    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is written from right to left.
    #[must_use]
    pub fn is_right_to_left(&self) -> bool {
        let language = self.0.split('-').next().unwrap_or_default();
        RIGHT_TO_LEFT.contains(&language)
    }

    /// This tag, then ever shorter ones, each without the last part of the one before (RFC 4647 §3.4).
    pub fn fallbacks(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.as_str()), |tag| tag.rsplit_once('-').map(|(wider, _)| wider))
    }
}

impl FromStr for Language {
    type Err = LanguageError;
    fn from_str(text: &str) -> Result<Self, LanguageError> {
        let mut parts = text.split('-');
        let language = parts.next().unwrap_or_default();
        let good = (2..=3).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_alphabetic());
        let rest = parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
        (good && rest && text.len() <= MAX_LANGUAGE).then(|| Self(text.to_ascii_lowercase())).ok_or(LanguageError)
    }
}

/// A mail to send.
#[derive(Debug)]
pub struct Mail {
    /// The recipient.
    pub to: Recipient,
    /// The content.
    pub content: Content,
    /// The name of the application, as its users know it.
    pub client: String,
    /// The language, used if there are templates in it.
    pub language: Language,
    /// When and through what it was asked for.
    pub asked: Asked,
}

/// A mail as stored in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedMail {
    /// The id.
    pub id: MailId,
    /// The recipient.
    pub to: Recipient,
    /// The kind.
    pub kind: MailKind,
    /// The language.
    pub language: Language,
    /// The sealed content.
    pub sealed: Vec<u8>,
    /// The version of the sealing key.
    pub sealing_version: i64,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it stops being worth sending.
    pub expires_at: Timestamp,
}

/// When to retry a mail after attempt number `attempts` failed; at the latest when it expires. `random` spreads
/// the retries of mails that failed together: it shortens the wait by up to a quarter.
#[must_use]
pub fn next_attempt(attempts: i64, now: Timestamp, expires_at: Timestamp, random: u32) -> Timestamp {
    let doublings = u32::try_from(attempts.saturating_sub(1).clamp(0, 20)).unwrap_or(0);
    let longest = FIRST_WAIT.times(1 << doublings).min(LONGEST_WAIT).millis();
    let less = longest / 4 * i64::from(random) / i64::from(u32::MAX);
    now.plus(Ttl::from_millis(longest - less)).min(expires_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p12_a41_mails_go_only_to_canonical_addresses() {
        let of = |text: &str| Login::parse(text).ok().as_ref().and_then(Recipient::of);
        assert_eq!(of("Ada@Example.ORG").unwrap().as_str(), "ada@example.org");
        assert_eq!(of("ada@bücher.example").unwrap().as_str(), "ada@xn--bcher-kva.example");
        assert_ne!(of("a@mıxer.com"), of("a@mixer.com"));
        for bad in ["ada", "a@x\r\nBcc:v@y", "a@x.org\r\nBcc: v@y.org", "a@x.org,b@y.org", "\"a b\"@x.org", "a b@x.org"]
        {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        // Only the canonical form is read back.
        assert!("ada@example.org".parse::<Recipient>().is_ok());
        for bad in ["Ada@example.org", "ada", "a@x.org\r\nBcc:v@y.org", "a@x.org ", "<a@x.org>"] {
            assert_eq!(bad.parse::<Recipient>(), Err(RecipientError), "{bad:?}");
        }
    }

    #[test]
    fn a_language_is_a_tag_with_more_general_fallbacks() {
        let tag: Language = "pt-BR".parse().unwrap();
        assert_eq!(tag.fallbacks().collect::<Vec<_>>(), ["pt-br", "pt"]);
        let [arabic, german]: [Language; 2] = ["ar-EG", "de"].map(|tag| tag.parse().unwrap());
        assert!(arabic.is_right_to_left() && !german.is_right_to_left());
        for bad in ["", "e", "english", "de_DE", "de-", "de-../..", "de\r\n", &"de-abcdefgh".repeat(5)] {
            assert_eq!(bad.parse::<Language>(), Err(LanguageError), "{bad:?}");
        }
    }

    #[test]
    fn every_kind_parses_from_its_name() {
        for kind in MailKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        assert_eq!("spam".parse::<MailKind>(), Err(MailKindError));
    }

    #[test]
    fn retries_back_off_exponentially_up_to_an_hour_and_not_beyond_the_expiry() {
        let (now, end) = (Timestamp::from_millis(1_000), Timestamp::from_millis(1_000_000_000));
        let waits =
            |random| [1, 2, 3, 8, 9, 10, i64::MAX].map(|n| next_attempt(n, now, end, random).since(now).seconds());
        assert_eq!(waits(0), [15, 30, 60, 1920, 3600, 3600, 3600]);
        assert_eq!(waits(u32::MAX), [11, 22, 45, 1440, 2700, 2700, 2700]);
        let soon = now.plus(Ttl::from_secs(20));
        assert_eq!(next_attempt(2, now, soon, 0), soon);
    }
}
