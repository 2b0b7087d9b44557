//! Logins: the user names and email addresses that users type to sign in. Each has one canonical form.

use precis_core::profile::PrecisFastInvocation;
use precis_profiles::UsernameCaseMapped;
use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;

/// Maximum length of a user name, in characters.
const MAX_NAME: usize = 64;
/// Maximum length of an email address, in bytes (RFC 5321 §4.5.3.1.3, without the angle brackets).
const MAX_EMAIL: usize = 254;

/// The kinds of logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginKind {
    /// A user name; contains no `@`.
    Name,
    /// An email address.
    Email,
}

/// Why a text is not a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Empty.
    #[error("must not be empty")]
    Empty,
    /// Too long.
    #[error("is too long")]
    TooLong,
    /// A character that RFC 8265 does not allow in user names.
    #[error("may contain only letters, digits and the punctuation of user names (RFC 8265 §3)")]
    Characters,
    /// Not an address such as `ada@example.org`.
    #[error("must be an email address such as ada@example.org")]
    Address,
}

/// A login in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    canonical: String,
    skeleton: String,
    display: String,
    kind: LoginKind,
}

impl Login {
    /// Parses a login: an email address if it contains an `@`, a user name otherwise.
    ///
    /// # Errors
    /// A description of what is wrong.
    pub fn parse(text: &str) -> Result<Self, LoginError> {
        if text.is_empty() {
            return Err(LoginError::Empty);
        }
        let (canonical, kind) = if text.contains('@') {
            (canonical_email(text)?, LoginKind::Email)
        } else {
            (canonical_name(text)?, LoginKind::Name)
        };
        // Names that look alike count as the same (UTS 39 §4), so that none can be mistaken for another.
        let skeleton = skeleton(&canonical).collect();
        Ok(Self { skeleton, display: text.to_owned(), canonical, kind })
    }

    /// Reads a user name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_name(text: &str) -> Result<Self, String> {
        match Self::parse(text) {
            Ok(login) if login.kind == LoginKind::Name => Ok(login),
            Ok(_) => Err("must not contain an @; an address is given as an email".to_owned()),
            Err(problem) => Err(problem.to_string()),
        }
    }

    /// Reads an email address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_email(text: &str) -> Result<Self, String> {
        match Self::parse(text) {
            Ok(login) if login.kind == LoginKind::Email => Ok(login),
            Ok(_) => Err("must be an email address".to_owned()),
            Err(problem) => Err(problem.to_string()),
        }
    }

    /// The canonical form of what somebody typed; nothing if it is not a valid login.
    #[must_use]
    pub fn canonical_for_lookup(text: &str) -> Option<String> {
        Self::parse(text).ok().map(|login| login.canonical)
    }

    /// The canonical form of the beginning of a user name; nothing if no user name begins like that.
    #[must_use]
    pub fn canonical_name_prefix(text: &str) -> Option<String> {
        if text.is_empty() { Some(String::new()) } else { canonical_name(text).ok() }
    }

    /// The form used for comparison.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The confusable skeleton: the same for all logins that look alike.
    #[must_use]
    pub fn skeleton(&self) -> &str {
        &self.skeleton
    }

    /// The login as it was typed.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.display
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> LoginKind {
        self.kind
    }
}

/// `UsernameCaseMapped` (RFC 8265 §3.3).
fn canonical_name(text: &str) -> Result<String, LoginError> {
    if text.chars().count() > MAX_NAME {
        return Err(LoginError::TooLong);
    }
    let profile = UsernameCaseMapped::enforce(text).map_err(|_| LoginError::Characters)?;
    // The mapping is not idempotent for every text. Only a text that maps to itself is canonical.
    let again = UsernameCaseMapped::enforce(profile.as_ref()).map_err(|_| LoginError::Characters)?;
    if again != profile || profile.is_empty() { Err(LoginError::Characters) } else { Ok(profile.into_owned()) }
}

/// Local part and domain, both in lower case; the domain in its IDNA form. Quoted local parts, comments and
/// address literals are not accepted.
fn canonical_email(text: &str) -> Result<String, LoginError> {
    if text.len() > MAX_EMAIL {
        return Err(LoginError::TooLong);
    }
    let (local, domain) = text.split_once('@').ok_or(LoginError::Address)?;
    let allowed = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let dots = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
    if local.is_empty() || local.len() > 64 || !dots || !local.chars().all(allowed) {
        return Err(LoginError::Address);
    }
    let domain = idna::domain_to_ascii_strict(domain).map_err(|_| LoginError::Address)?;
    let labels = domain.split('.').count() >= 2 && domain.parse::<std::net::IpAddr>().is_err();
    if !labels {
        return Err(LoginError::Address);
    }
    let local: String = local.nfc().collect::<String>().to_lowercase().nfc().collect();
    Ok(format!("{local}@{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Login::parse(text).unwrap().canonical
    }

    #[test]
    fn p12_a40_names_have_one_canonical_form_and_lookalikes_share_a_skeleton() {
        assert_eq!(canonical("Admin"), canonical("admin"));
        assert_eq!(canonical("A\u{30a}"), canonical("å"));
        let cyrillic = Login::parse("\u{430}dmin").unwrap();
        assert_ne!(cyrillic.canonical(), "admin");
        assert_eq!(cyrillic.skeleton(), Login::parse("admin").unwrap().skeleton());
        for bad in ["", "admin\0", "admin ", " ", "a b", "\u{fb01}x", "a\u{200d}b", "a\nb"] {
            assert!(Login::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Login::parse(&"x".repeat(10_000)), Err(LoginError::TooLong));
    }

    #[test]
    fn p12_a41_addresses_have_one_canonical_form() {
        assert_eq!(canonical("A@B.org"), canonical("a@b.org"));
        assert_ne!(canonical("a@m\u{131}xer.com"), canonical("a@mixer.com"));
        assert_eq!(canonical("a@bücher.de"), canonical("a@xn--bcher-kva.de"));
        for bad in [
            "@b.org",
            "a@",
            "a@b",
            "\"a b\"@x.org",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@x.org\r\nBcc:v@y.org",
            "a@x.org,b@y.org",
            ".a@x.org",
            "a..b@x.org",
            "a@-x.org",
        ] {
            assert!(Login::parse(bad).is_err(), "{bad:?}");
        }
    }
}
