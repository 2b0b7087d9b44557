//! The files with secrets that a file of declarations names.

use std::{collections::BTreeSet, path::Path};

use zeroize::Zeroizing;

use crate::{
    app::config::read_named_text,
    secret::{ClientSecret, Password, without_checksum},
};

/// More than any secret takes.
const MAX_FILE: u64 = 4096;
/// The fewest characters of a secret that somebody chose. Its hash is a plain one, so guessing must be hopeless: 32
/// hexadecimal digits have 128 bits.
const MIN_SECRET: usize = 32;
/// The most, so that a request with it fits.
const MAX_SECRET: usize = 512;
/// The fewest different characters. Of 32 random hexadecimal digits, fewer are never the case.
const MIN_DIFFERENT: usize = 8;

/// Reads the secret of a client.
pub(super) fn client_secret(path: &Path) -> Result<ClientSecret, String> {
    let text = one_line(path)?;
    check_secret(&text)?;
    Ok(ClientSecret::new(text.to_string()))
}

/// Whether a server reads a secret as another one unless the application encodes it, as it must for HTTP Basic
/// authentication (RFC 6749 §2.3.1) and often does not.
pub(super) fn needs_encoding(secret: &str) -> bool {
    secret.contains(['%', '+'])
}

/// Reads the password of a user.
pub(super) fn password(path: &Path) -> Result<Password, String> {
    Ok(Password::new(one_line(path)?.to_string()))
}

/// The text of a file without the newline at its end.
fn one_line(path: &Path) -> Result<Zeroizing<String>, String> {
    let mut text = read_named_text(path, MAX_FILE).map_err(|error| error.to_string())?;
    for end in ['\n', '\r'] {
        if text.ends_with(end) {
            text.pop();
        }
    }
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text) }
}

fn check_secret(text: &str) -> Result<(), String> {
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("a secret must be one line of printable ASCII without spaces".to_owned());
    }
    if text.starts_with("chs_") && without_checksum(text).is_none() {
        return Err("it begins like a secret of Chancery's own, but is not whole".to_owned());
    }
    let different = text.bytes().collect::<BTreeSet<_>>().len();
    if text.len() < MIN_SECRET || different < MIN_DIFFERENT {
        return Err(format!(
            "a secret must have at least {MIN_SECRET} characters and {MIN_DIFFERENT} different ones; \
             `openssl rand -hex 32` makes one"
        ));
    }
    if text.len() > MAX_SECRET {
        return Err(format!("a secret must have at most {MAX_SECRET} characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn a_secret_is_long_varied_and_whole() {
        let own = ClientSecret::generate(&SeededEntropy::new(1));
        let cut = own.expose().get(..40).unwrap().to_owned();
        for good in [own.expose(), "0123456789abcdef0123456789abcdef", "correct-horse-battery-staple-and-more"] {
            assert!(check_secret(good).is_ok(), "{good}");
        }
        let long = "0123456789".repeat(60);
        for (bad, why) in [
            ("short", "32 characters"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "8 different"),
            ("two words that are long enough for it all", "without spaces"),
            (cut.as_str(), "not whole"),
            (long.as_str(), "at most 512"),
        ] {
            assert!(check_secret(bad).unwrap_err().contains(why), "{bad}");
        }
    }

    #[test]
    fn one_newline_at_the_end_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for (text, read) in [("a b\n", Some("a b")), ("a\r\n", Some("a")), ("a\n\n", Some("a\n")), ("\n", None)] {
            fs::write(&path, text).unwrap();
            assert_eq!(one_line(&path).ok().as_deref().map(String::as_str), read, "{text:?}");
        }
        assert!(one_line(&dir.path().join("missing")).unwrap_err().contains("No such file"));
    }
}
