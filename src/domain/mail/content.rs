//! The content of mails. A mail that the reader did not ask for contains nothing that a stranger chose: no name
//! and no free text of the person who registers.

use std::collections::BTreeMap;

use super::{MailKind, NOTICE_LIFETIME, Recipient};
use crate::{
    domain::{factor::FactorKind, text::is_invisible},
    secret::MailedSecret,
    time::Timestamp,
};

/// Maximum length of a text that somebody else chose, in characters.
const MAX_TEXT: usize = 100;

/// With no more recovery codes than this, the user is told to make new ones.
const FEW_CODES: i64 = 2;

/// The parameters of templates. They contain secrets, and are stored only sealed.
pub type MailParams = BTreeMap<String, String>;

/// How the reader continues: by following a link, or by typing a code that does the same.
#[derive(Debug)]
pub struct LinkAndCode {
    /// The link.
    pub link: MailedSecret,
    /// The code.
    pub code: MailedSecret,
    /// When both expire.
    pub expires_at: Timestamp,
}

/// The content of a mail.
#[derive(Debug)]
pub enum Content {
    /// Verifies that an address belongs to the user.
    VerifyEmail(LinkAndCode),
    /// Lets the user choose a new password.
    PasswordReset(LinkAndCode),
    /// The password was changed.
    PasswordChanged {
        /// When it happened.
        at: Timestamp,
    },
    /// The address of the account was changed. Sent to the old and the new address.
    EmailChanged {
        /// When it happened.
        at: Timestamp,
        /// The new address.
        new: Recipient,
    },
    /// Somebody tried to register with the address of this account.
    AccountExists,
    /// An invitation.
    Invitation {
        /// How to accept it.
        way: LinkAndCode,
        /// Who invites the reader.
        by: String,
    },
    /// A sign-in from an unknown device.
    NewDevice {
        /// When it happened.
        at: Timestamp,
        /// The name that the device gave itself.
        device: String,
        /// The address it came from.
        address: String,
    },
    /// A second factor was set up.
    FactorAdded {
        /// When it happened.
        at: Timestamp,
        /// What it is.
        kind: FactorKind,
    },
    /// A second factor was removed.
    FactorRemoved {
        /// When it happened.
        at: Timestamp,
        /// What it was; nothing if all were removed.
        kind: Option<FactorKind>,
    },
    /// There are new recovery codes in place of the old ones.
    RecoveryCodes {
        /// When it happened.
        at: Timestamp,
    },
    /// A recovery code was used.
    RecoveryCodeUsed {
        /// When it happened.
        at: Timestamp,
        /// How many are left.
        left: i64,
        /// Where the user makes new ones, if there is such a page.
        account: Option<String>,
    },
}

impl Content {
    /// The kind of mail.
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
            Self::FactorAdded { .. } => MailKind::FactorAdded,
            Self::FactorRemoved { .. } => MailKind::FactorRemoved,
            Self::RecoveryCodes { .. } => MailKind::RecoveryCodes,
            Self::RecoveryCodeUsed { .. } => MailKind::RecoveryCodeUsed,
        }
    }

    /// When it stops being worth sending: when its code expires, or the news is old.
    #[must_use]
    pub const fn expires_at(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::VerifyEmail(way) | Self::PasswordReset(way) | Self::Invitation { way, .. } => way.expires_at,
            _ => now.plus(NOTICE_LIFETIME),
        }
    }

    /// The parameters for its templates, in addition to the common ones. They contain secrets in clear text, so they
    /// must be sealed before they are stored.
    #[must_use]
    pub fn params(&self, client: &str) -> MailParams {
        let mut params = MailParams::new();
        let mut put = |name: &str, value: String| drop(params.insert(name.to_owned(), value));
        put("client", one_line(client));
        match self {
            Self::AccountExists => {}
            Self::VerifyEmail(way) | Self::PasswordReset(way) | Self::Invitation { way, .. } => {
                put("link", way.link.expose().to_owned());
                put("code", way.code.expose().to_owned());
            }
            Self::PasswordChanged { at }
            | Self::EmailChanged { at, .. }
            | Self::NewDevice { at, .. }
            | Self::FactorAdded { at, .. }
            | Self::FactorRemoved { at, .. }
            | Self::RecoveryCodes { at }
            | Self::RecoveryCodeUsed { at, .. } => put("at", at.for_people()),
        }
        match self {
            Self::EmailChanged { new, .. } => put("new_address", new.as_str().to_owned()),
            Self::Invitation { by, .. } => put("by", one_line(by)),
            Self::FactorAdded { kind, .. } => put("factor", kind.as_str().to_owned()),
            Self::FactorRemoved { kind, .. } => put("factor", kind.map_or("", FactorKind::as_str).to_owned()),
            Self::RecoveryCodeUsed { left, account, .. } => {
                put("left", left.to_string());
                put("few", if *left <= FEW_CODES { "yes" } else { "" }.to_owned());
                put("account", account.clone().unwrap_or_default());
            }
            Self::NewDevice { device, address, .. } => {
                put("device", label(device));
                put("address", one_line(address));
            }
            _ => {}
        }
        params
    }
}

/// The text on a single line, without invisible characters, and cut to the maximum length.
fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if is_invisible(c) { ' ' } else { c }).take(MAX_TEXT).collect();
    clean.trim().to_owned()
}

/// The name that a device gave itself. An attacker may have chosen it, so it must not contain anything that a mail
/// program turns into a link.
fn label(text: &str) -> String {
    let text = one_line(text);
    let kept = |c: char| c.is_alphanumeric() || " ()'’,+-".contains(c);
    text.chars().map(|c| if kept(c) { c } else { ' ' }).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a41_no_value_can_inject_a_line_or_a_link() {
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
    fn codes_and_links_do_not_print_and_determine_the_expiry() {
        let expires_at = Timestamp::from_millis(5);
        let way = LinkAndCode {
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
