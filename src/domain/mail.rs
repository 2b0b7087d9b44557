//! Mails: what is said to whom, in which language, and when a failed one is tried again.

mod content;

use std::{fmt, str::FromStr};

pub use self::content::{Content, Params, Way};
use super::login::{Login, LoginKind};
use crate::{
    id::MailId,
    time::{Timestamp, Ttl},
};

/// How long after the first failure a mail is tried again; twice as long after each further one.
pub const FIRST_WAIT: Ttl = Ttl::from_secs(15);
/// The longest time between two attempts.
pub const LONGEST_WAIT: Ttl = Ttl::from_secs(3600);
/// How long it is worth telling somebody of a change that has happened.
pub const NOTICE_LIFETIME: Ttl = Ttl::from_days(3);
/// Most characters of a language tag.
const MAX_LANGUAGE: usize = 35;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a mail is about. Its name is that of its templates.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum MailKind { $($(#[$doc])* $name,)* }

        impl MailKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in the database and of its templates.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// Proves that an address is somebody's.
    VerifyEmail = "verify_email",
    /// Lets somebody choose a new password.
    PasswordReset = "password_reset",
    /// Tells of a new password.
    PasswordChanged = "password_changed",
    /// Tells the old and the new address of the change.
    EmailChanged = "email_changed",
    /// Tells that somebody tried to register with an address that has an account.
    AccountExists = "account_exists",
    /// Invites somebody.
    Invitation = "invitation",
    /// Tells of a sign-in from a device that is not known.
    NewDevice = "new_device",
}

/// A text that names no kind of mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a kind of mail")]
pub struct UnknownKind;

impl FromStr for MailKind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().find(|kind| kind.as_str() == text).copied().ok_or(UnknownKind)
    }
}

/// Where a mail goes: an address in the one form in which addresses are compared. What was proved to be
/// somebody's is exactly what later mails go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient(String);

/// A text that is no canonical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an address in canonical form")]
pub struct NoRecipient;

impl Recipient {
    /// The address that this login is; nothing if it is a user name.
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
    type Err = NoRecipient;
    /// Reads what was written, and nothing else: no text becomes an address on its way through a database.
    fn from_str(text: &str) -> Result<Self, NoRecipient> {
        let address = Login::parse(text).ok().as_ref().and_then(Self::of);
        address.filter(|a| a.0 == text).ok_or(NoRecipient)
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

/// A text that is no language tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a language tag such as de or pt-BR")]
pub struct NoLanguage;

impl Language {
    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This tag, and what is left when its last part is taken away, again and again (RFC 4647 §3.4).
    pub fn from_narrow_to_wide(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.as_str()), |tag| tag.rsplit_once('-').map(|(wider, _)| wider))
    }
}

impl FromStr for Language {
    type Err = NoLanguage;
    fn from_str(text: &str) -> Result<Self, NoLanguage> {
        let mut parts = text.split('-');
        let language = parts.next().unwrap_or_default();
        let good = (2..=3).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_alphabetic());
        let rest = parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
        (good && rest && text.len() <= MAX_LANGUAGE).then(|| Self(text.to_ascii_lowercase())).ok_or(NoLanguage)
    }
}

/// A mail to be sent.
#[derive(Debug)]
pub struct Mail {
    /// To whom.
    pub to: Recipient,
    /// What it says.
    pub content: Content,
    /// The name of the application, as its users know it.
    pub client: String,
    /// In which language, if there are templates in it.
    pub language: Language,
}

/// A mail as the database keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedMail {
    /// The id.
    pub id: MailId,
    /// To whom.
    pub to: Recipient,
    /// What it is about.
    pub kind: MailKind,
    /// In which language.
    pub language: Language,
    /// What it says, sealed.
    pub sealed: Vec<u8>,
    /// The version of the sealing key.
    pub sealing_version: i64,
    /// When it was handed in.
    pub created_at: Timestamp,
    /// From when on it is not worth sending.
    pub expires_at: Timestamp,
}

/// When a mail is tried again whose attempt number `attempts` has just failed; never later than it expires.
/// `random` spreads those that failed together: each waits up to a quarter less.
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
    fn p12_a41_mails_go_to_the_canonical_address_and_to_nothing_that_is_none() {
        let of = |text: &str| Login::parse(text).ok().as_ref().and_then(Recipient::of);
        assert_eq!(of("Ada@Example.ORG").unwrap().as_str(), "ada@example.org");
        assert_eq!(of("ada@bücher.example").unwrap().as_str(), "ada@xn--bcher-kva.example");
        assert_ne!(of("a@mıxer.com"), of("a@mixer.com"));
        for bad in ["ada", "a@x\r\nBcc:v@y", "a@x.org\r\nBcc: v@y.org", "a@x.org,b@y.org", "\"a b\"@x.org", "a b@x.org"]
        {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        // Only what stands for itself is read back.
        assert!("ada@example.org".parse::<Recipient>().is_ok());
        for bad in ["Ada@example.org", "ada", "a@x.org\r\nBcc:v@y.org", "a@x.org ", "<a@x.org>"] {
            assert_eq!(bad.parse::<Recipient>(), Err(NoRecipient), "{bad:?}");
        }
    }

    #[test]
    fn a_language_is_a_tag_and_widens() {
        let tag: Language = "pt-BR".parse().unwrap();
        assert_eq!(tag.from_narrow_to_wide().collect::<Vec<_>>(), ["pt-br", "pt"]);
        for bad in ["", "e", "english", "de_DE", "de-", "de-../..", "de\r\n", &"de-abcdefgh".repeat(5)] {
            assert_eq!(bad.parse::<Language>(), Err(NoLanguage), "{bad:?}");
        }
    }

    #[test]
    fn every_kind_is_read_by_its_name() {
        for kind in MailKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        assert_eq!("spam".parse::<MailKind>(), Err(UnknownKind));
    }

    #[test]
    fn failures_wait_twice_as_long_each_time_up_to_an_hour_and_not_beyond_the_end() {
        let (now, end) = (Timestamp::from_millis(1_000), Timestamp::from_millis(1_000_000_000));
        let waits =
            |random| [1, 2, 3, 8, 9, 10, i64::MAX].map(|n| next_attempt(n, now, end, random).since(now).seconds());
        assert_eq!(waits(0), [15, 30, 60, 1920, 3600, 3600, 3600]);
        assert_eq!(waits(u32::MAX), [11, 22, 45, 1440, 2700, 2700, 2700]);
        let soon = now.plus(Ttl::from_secs(20));
        assert_eq!(next_attempt(2, now, soon, 0), soon);
    }
}
