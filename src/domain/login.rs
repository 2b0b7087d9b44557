//! Logins: the user names and email addresses that users type to sign in. Each has one canonical form.

use precis_core::{IdentifierClass, StringClass, profile::PrecisFastInvocation};
use precis_profiles::UsernameCaseMapped;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_security::skeleton;

use super::text::{JOINERS, is_invisible};

/// Maximum length of a user name, in characters.
const MAX_NAME: usize = 64;
/// Maximum length of an email address, in bytes (RFC 5321 §4.5.3.1.3, without the angle brackets).
const MAX_EMAIL: usize = 254;
/// Maximum length of the local part of an address, in bytes (RFC 5321 §4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// Normalisation shortens a text to a third of its bytes at most (UAX 15), so a longer one is no address.
const MAX_TYPED_EMAIL: usize = 3 * MAX_EMAIL;
/// Before the key of an address. Nothing that a name looks like contains a space.
const ADDRESS: &str = "email ";

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
    /// An `@` in a user name.
    #[error("must not contain an @: a user name is no address; give that as email")]
    At,
}

/// A login in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    canonical: String,
    unique_key: String,
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
        if text.contains('@') {
            let typed = normal_email(text)?;
            let canonical = canonical_email(&typed)?;
            // Its owner has proved an address. That another one looks like it takes nothing from either.
            let unique_key = format!("{ADDRESS}{canonical}");
            return Ok(Self { canonical, unique_key, display: typed, kind: LoginKind::Email });
        }
        let canonical = canonical_name(text)?;
        // Names that look alike count as the same (UTS 39 §4), so that none can be mistaken for another.
        let unique_key = skeleton(&canonical).collect();
        Ok(Self { canonical, unique_key, display: text.to_owned(), kind: LoginKind::Name })
    }

    /// Reads a user name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_name(text: &str) -> Result<Self, String> {
        let name = if text.contains('@') { Err(LoginError::At) } else { Self::parse(text) };
        name.map_err(|problem| problem.to_string())
    }

    /// Reads an email address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_email(text: &str) -> Result<Self, String> {
        match Self::parse(text) {
            Ok(login) if login.kind == LoginKind::Email => Ok(login),
            Ok(_) | Err(LoginError::Characters | LoginError::At) => Err(LoginError::Address.to_string()),
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

    /// The key that no other login has: of a name its confusable skeleton, the same for all names that look alike; of an
    /// address its canonical form.
    #[must_use]
    pub fn unique_key(&self) -> &str {
        &self.unique_key
    }

    /// The login as it was typed; an address in normal form (NFC).
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
    // A fullwidth @ is mapped to the usual one: the name would be the login of whoever has that address.
    if profile.contains('@') {
        return Err(LoginError::At);
    }
    if again != profile || profile.is_empty() { Err(LoginError::Characters) } else { Ok(profile.into_owned()) }
}

/// An address in normal form (NFC): keyboards differ in how they write the same letter.
fn normal_email(text: &str) -> Result<String, LoginError> {
    if text.len() > MAX_TYPED_EMAIL {
        return Err(LoginError::TooLong);
    }
    let normal: String = text.nfc().collect();
    if normal.len() > MAX_EMAIL { Err(LoginError::TooLong) } else { Ok(normal) }
}

/// Local part and domain, both in lower case; the domain in its IDNA form. Quoted local parts, comments and
/// address literals are not accepted.
fn canonical_email(normal: &str) -> Result<String, LoginError> {
    let (local, domain) = normal.split_once('@').ok_or(LoginError::Address)?;
    let local: String = local.to_lowercase().nfc().collect();
    if local.len() > MAX_LOCAL || !is_local_part(&local) {
        return Err(LoginError::Address);
    }
    let domain = idna::domain_to_ascii_strict(domain).map_err(|_| LoginError::Address)?;
    let labels = domain.split('.').count() >= 2 && domain.parse::<std::net::IpAddr>().is_err();
    if !labels {
        return Err(LoginError::Address);
    }
    Ok(format!("{local}@{domain}"))
}

/// Whether a text in normal form is a local part: words of letters, digits, marks and the punctuation of RFC 5322
/// §3.2.3, joined by dots (RFC 6531 §3.3). A mark has a letter before it, and a joiner stands only where its script needs
/// one (RFC 5892, appendix A.1 and A.2).
fn is_local_part(local: &str) -> bool {
    let mut before = '.';
    for c in local.chars() {
        let good = match c {
            _ if JOINERS.contains(&c) => IdentifierClass::default().allows(local).is_ok(),
            _ if is_invisible(c) => false,
            _ if is_combining_mark(c) => {
                before.is_alphanumeric() || is_combining_mark(before) || JOINERS.contains(&before)
            }
            '.' => before != '.',
            _ => c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c),
        };
        if !good {
            return false;
        }
        before = c;
    }
    before != '.'
}

#[cfg(test)]
mod scripts;

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
        assert_eq!(cyrillic.unique_key(), Login::parse("admin").unwrap().unique_key());
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
