//! How a sealing key is written down: 32 raw bytes, or the same bytes in base64 or base64url.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

/// The length of a key in bytes.
const LENGTH: usize = 32;

/// Both alphabets, with and without padding.
const CODES: [GeneralPurpose; 2] = {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [GeneralPurpose::new(&alphabet::STANDARD, config), GeneralPurpose::new(&alphabet::URL_SAFE, config)]
};

/// Why something is not a sealing key: what it is instead. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealingKeyError {
    /// Whether it was read from a file, which may hold raw bytes.
    in_file: bool,
    /// Its length in bytes.
    length: usize,
    kind: Kind,
}

/// What was seen instead of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    /// Base64 or base64url of so many bytes.
    Encoded(usize),
    Hexadecimal,
    Decimal,
    /// 32 characters and a line break.
    TextWithLineBreak,
    Text,
    Bytes,
}

impl fmt::Display for SealingKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.length;
        f.write_str(if self.in_file {
            "a sealing key is 32 raw bytes, or these in base64 or base64url"
        } else {
            "must be 32 bytes in base64 or base64url"
        })?;
        match self.kind {
            Kind::Nothing => f.write_str("; it is empty"),
            Kind::Encoded(bytes) => write!(f, "; these are {n} characters, which as base64 are {bytes} bytes"),
            Kind::Hexadecimal => write!(f, "; these are {n} hexadecimal digits: encode the same bytes in base64"),
            Kind::Decimal => write!(f, "; these are {n} decimal digits"),
            Kind::TextWithLineBreak => {
                write!(f, "; these are 32 characters and a line break: write it without (`printf %s`)")
            }
            Kind::Text => write!(f, "; these are {n} characters of other text"),
            Kind::Bytes => write!(f, "; these are {n} bytes that are not text"),
        }?;
        if !self.in_file && n == LENGTH {
            f.write_str(
                "; if they were used as the key before, write them into a file \
                 (`printf %s \"$CHANCERY_SEALING_KEY\" >sealing.key`) for --sealing-key-file, or encode them \
                 (`printf %s \"$CHANCERY_SEALING_KEY\" | base64`)",
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for SealingKeyError {}

/// The key in a file: 32 raw bytes, whatever they are, or base64 or base64url with white space around it, perhaps on
/// several lines.
pub(super) fn from_file(bytes: &[u8]) -> Result<Zeroizing<[u8; LENGTH]>, SealingKeyError> {
    match <[u8; LENGTH]>::try_from(bytes) {
        Ok(raw) => Ok(Zeroizing::new(raw)),
        Err(_) => decoded(bytes, true),
    }
}

/// The key in a variable: base64 or base64url. Characters that are used as bytes have too little entropy.
pub(super) fn from_text(text: &str) -> Result<Zeroizing<[u8; LENGTH]>, SealingKeyError> {
    decoded(text.as_bytes(), false)
}

fn decoded(bytes: &[u8], in_file: bool) -> Result<Zeroizing<[u8; LENGTH]>, SealingKeyError> {
    let text = bytes.trim_ascii();
    // Some programs wrap base64. Spaces stay what they are, so that a sentence is not taken for a key.
    let joined: Zeroizing<Vec<u8>> =
        Zeroizing::new(text.iter().copied().filter(|b| !in_file || !matches!(b, b'\r' | b'\n')).collect());
    let decoded = CODES.iter().find_map(|code| code.decode(&*joined).ok()).map(Zeroizing::new);
    if let Some(Ok(raw)) = decoded.as_ref().map(|bytes| <[u8; LENGTH]>::try_from(bytes.as_slice())) {
        return Ok(Zeroizing::new(raw));
    }
    let kind = match (text, decoded) {
        ([], _) => Kind::Nothing,
        (digits, _) if digits.len() >= LENGTH && digits.iter().all(u8::is_ascii_digit) => Kind::Decimal,
        (hex, _) if hex.len() >= LENGTH && hex.iter().all(u8::is_ascii_hexdigit) => Kind::Hexadecimal,
        (text, _) if in_file && text.len() == LENGTH => Kind::TextWithLineBreak,
        (_, Some(bytes)) => Kind::Encoded(bytes.len()),
        (text, None) if std::str::from_utf8(text).is_ok_and(is_plain) => Kind::Text,
        _ => Kind::Bytes,
    };
    let length = if kind == Kind::Bytes { bytes.len() } else { text.len() };
    Err(SealingKeyError { in_file, length, kind })
}

/// Whether a text consists of what people write.
fn is_plain(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

    use super::*;

    /// Bytes whose base64 and base64url differ.
    const KEY: [u8; LENGTH] = [0xfb; LENGTH];

    #[test]
    fn a_file_holds_raw_bytes_base64_or_base64url() {
        assert_eq!(*from_file(&KEY).unwrap(), KEY);
        // Characters are bytes: whoever used such a key writes it into a file.
        assert_eq!(*from_file(b"0123456789abcdef0123456789abcdef").unwrap(), *b"0123456789abcdef0123456789abcdef");
        for code in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
            let text = code.encode(KEY);
            let (one, two) = text.split_at(20);
            for wrapped in [format!("{one}\n{two}\n"), format!("{one}\r\n{two}")] {
                assert_eq!(*from_file(wrapped.as_bytes()).unwrap(), KEY, "{wrapped:?}");
                assert!(from_text(&wrapped).is_err(), "{wrapped:?}");
            }
            for text in [text.clone(), format!("{text}\n"), format!(" {text}\r\n")] {
                assert_eq!(*from_file(text.as_bytes()).unwrap(), KEY, "{text:?}");
                assert_eq!(*from_text(&text).unwrap(), KEY, "{text:?}");
            }
        }
    }

    #[test]
    fn other_text_is_never_a_key_and_the_error_says_what_was_seen_but_not_the_text() {
        for (text, says) in [
            ("", "it is empty"),
            ("correct horse battery staple 123", "32 characters of other text; if they were used"),
            ("0123456789abcdef0123456789ABCDEF", "32 hexadecimal digits: encode the same bytes in base64; if they"),
            ("correcthorsebatterystaplexxxxxxx", "32 characters, which as base64 are 24 bytes; if they were used"),
            ("correct horse battery staple", "28 characters of other text"),
            ("dGhpcnR5LXRocmVlIGJ5dGVzIG9mIHRleHQgaGVyZS4uLg==", "48 characters, which as base64 are 34 bytes"),
        ] {
            let error = from_text(text).unwrap_err().to_string();
            assert!(error.contains(says) && error.starts_with("must be 32 bytes in base64"), "{text:?}: {error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        for (bytes, says) in [
            (&b""[..], "it is empty"),
            (b"\n", "it is empty"),
            (b"correct horse battery staple 123\n", "32 characters and a line break"),
            (&[0xff; 31], "31 bytes that are not text"),
            (b"short", "5 characters of other text"),
            (&b"0f".repeat(32), "64 hexadecimal digits"),
            (&b"12".repeat(22), "44 decimal digits"),
            (b"correct horse\nbattery staple", "28 characters of other text"),
        ] {
            let error = from_file(bytes).unwrap_err().to_string();
            assert!(error.contains(says) && error.starts_with("a sealing key is 32 raw bytes, or"), "{error}");
        }
    }
}
