//! What a mail says. Nothing that its reader did not ask for can be chosen by a stranger: no name, no
//! free text of whoever registers.

use std::collections::BTreeMap;

use super::{MailKind, NOTICE_LIFETIME, Recipient};
use crate::{secret::MailedSecret, time::Timestamp};

/// Most characters of a text that somebody else chose.
const MAX_TEXT: usize = 100;

/// Names and values that templates get. They hold secrets, and are sealed wherever they rest.
pub type Params = BTreeMap<String, String>;

/// How the reader goes on: by a link, or with the same as a code for those who type.
#[derive(Debug)]
pub struct Way {
    /// The link.
    pub link: MailedSecret,
    /// The code.
    pub code: MailedSecret,
    /// When both end.
    pub expires_at: Timestamp,
}

/// What a mail says.
#[derive(Debug)]
pub enum Content {
    /// Proves that an address is somebody's.
    VerifyEmail(Way),
    /// Lets somebody choose a new password.
    PasswordReset(Way),
    /// A password was set.
    PasswordChanged {
        /// When.
        at: Timestamp,
    },
    /// An account has another address now; goes to both.
    EmailChanged {
        /// When.
        at: Timestamp,
        /// The new address.
        new: Recipient,
    },
    /// Somebody tried to register with the address of an account.
    AccountExists,
    /// Somebody is invited.
    Invitation {
        /// How to accept.
        way: Way,
        /// Who invites.
        by: String,
    },
    /// A sign-in from a device that is not known.
    NewDevice {
        /// When.
        at: Timestamp,
        /// What the device calls itself.
        device: String,
        /// The address it came from.
        address: String,
    },
}

impl Content {
    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> MailKind {
        match self {
            Self::VerifyEmail(_) => MailKind::VerifyEmail,
            Self::PasswordReset(_) => MailKind::PasswordReset,
            Self::PasswordChanged { .. } => MailKind::PasswordChanged,
            Self::EmailChanged { .. } => MailKind::EmailChanged,
            Self::AccountExists => MailKind::AccountExists,
            Self::Invitation { .. } => MailKind::Invitation,
            Self::NewDevice { .. } => MailKind::NewDevice,
        }
    }

    /// From when on it is not worth sending: when its code has ended, or the news is old.
    #[must_use]
    pub const fn expires_at(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::VerifyEmail(way) | Self::PasswordReset(way) | Self::Invitation { way, .. } => way.expires_at,
            _ => now.plus(NOTICE_LIFETIME),
        }
    }

    /// What its templates get besides what all get. Holds the secrets in clear: to be sealed.
    #[must_use]
    pub fn params(&self, client: &str) -> Params {
        let mut params = Params::new();
        let mut put = |name: &str, value: String| drop(params.insert(name.to_owned(), value));
        put("client", one_line(client));
        match self {
            Self::AccountExists => {}
            Self::VerifyEmail(way) | Self::PasswordReset(way) | Self::Invitation { way, .. } => {
                put("link", way.link.expose().to_owned());
                put("code", way.code.expose().to_owned());
            }
            Self::PasswordChanged { at } | Self::EmailChanged { at, .. } | Self::NewDevice { at, .. } => {
                put("at", at.for_people());
            }
        }
        match self {
            Self::EmailChanged { new, .. } => put("new_address", new.as_str().to_owned()),
            Self::Invitation { by, .. } => put("by", one_line(by)),
            Self::NewDevice { device, address, .. } => {
                put("device", label(device));
                put("address", one_line(address));
            }
            _ => {}
        }
        params
    }
}

/// A text on one line, without characters that only pretend to be text, and not too long.
fn one_line(text: &str) -> String {
    let hidden = |c: char| {
        // Line and paragraph separators, and what turns the direction of reading.
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let clean: String = text.chars().map(|c| if hidden(c) { ' ' } else { c }).take(MAX_TEXT).collect();
    clean.trim().to_owned()
}

/// What a device calls itself, which may be a thief's choice: nothing that a mail program makes a link of.
fn label(text: &str) -> String {
    let text = one_line(text);
    let kept = |c: char| c.is_alphanumeric() || " ()'’,+-".contains(c);
    text.chars().map(|c| if kept(c) { c } else { ' ' }).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a41_no_value_brings_a_line_of_its_own_or_a_link() {
        let at = Timestamp::from_millis(1_893_456_000_000);
        let content = Content::NewDevice {
            at,
            device: "Zoë's phone\r\nBcc: v@y.org http://evil.example/x".into(),
            address: "192.0.2.7\u{2028}x".into(),
        };
        let params = content.params("Shop\r\nBcc: v@y.org\u{202e}");
        for (name, value) in &params {
            assert!(
                !value.contains(|c: char| c.is_control() || c == '\u{2028}' || c == '\u{202e}'),
                "{name}: {value:?}"
            );
        }
        assert_eq!(params["device"], "Zoë's phone  Bcc  v y org http   evil example x");
        assert_eq!(params["at"], "2030-01-01 00:00 UTC");
        assert_eq!(one_line(&"x".repeat(1000)).len(), MAX_TEXT);
    }

    #[test]
    fn codes_and_links_do_not_print_and_end_when_they_say() {
        let expires_at = Timestamp::from_millis(5);
        let way = Way {
            link: MailedSecret::new("https://id/l".into()),
            code: MailedSecret::new("123456".into()),
            expires_at,
        };
        let content = Content::VerifyEmail(way);
        let printed = format!("{content:?}");
        assert!(!printed.contains("https") && !printed.contains("123456"), "{printed}");
        assert_eq!(content.expires_at(Timestamp::from_millis(1)), expires_at);
        let params = content.params("Shop");
        assert_eq!((params["link"].as_str(), params["code"].as_str()), ("https://id/l", "123456"));
    }
}
