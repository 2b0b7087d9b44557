//! The sealing key: the secret outside the database.
//!
//! It is never used directly. Every purpose has its own subkey, derived by HKDF-SHA-256 (RFC 5869).

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    constant_time, hkdf, hmac,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::sealing_text::{self, SealingKeyError};
use crate::{
    domain::limit::{LimitKey, LimitKind},
    entropy::Entropy,
    secret::sha256,
};

/// The version of the sealing key in use.
pub const SEALING_VERSION: u8 = 1;

/// The subkeys of the sealing key.
pub struct SealingKey {
    tag: hmac::Key,
    codes: hmac::Key,
    devices: hmac::Key,
    limits: hmac::Key,
    seal: LessSafeKey,
    check: [u8; 32],
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.fingerprint())
    }
}

/// Derives the subkey for a purpose.
#[expect(clippy::expect_used, reason = "32 bytes are far below HKDF's limit of 255 blocks")]
fn subkey(prk: &hkdf::Prk, purpose: &str) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    let info = [purpose.as_bytes()];
    let okm = prk.expand(&info, hkdf::HKDF_SHA256).expect("the length of a SHA-256 output");
    okm.fill(&mut *out).expect("the length that was asked for");
    out
}

impl SealingKey {
    /// Derives the subkeys from the 32 bytes of the sealing key.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the key has AES-256's length by its type")]
    pub fn new(secret: &Zeroizing<[u8; 32]>) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"chancery").extract(&**secret);
        let seal = UnboundKey::new(&AES_256_GCM, &*subkey(&prk, "seal v1")).expect("a key of 32 bytes");
        Self {
            tag: hmac::Key::new(hmac::HMAC_SHA256, &*subkey(&prk, "refresh tag v1")),
            codes: hmac::Key::new(hmac::HMAC_SHA256, &*subkey(&prk, "mailed codes v1")),
            devices: hmac::Key::new(hmac::HMAC_SHA256, &*subkey(&prk, "device tokens v1")),
            limits: hmac::Key::new(hmac::HMAC_SHA256, &*subkey(&prk, "limits v1")),
            seal: LessSafeKey::new(seal),
            check: *subkey(&prk, "check v1"),
        }
    }

    /// Parses the contents of a file: 32 raw bytes, or these in base64 or base64url.
    ///
    /// # Errors
    /// What it is instead, without quoting it.
    pub fn parse(bytes: &[u8]) -> Result<Zeroizing<[u8; 32]>, SealingKeyError> {
        sealing_text::from_file(bytes)
    }

    /// Parses a text: 32 bytes in base64 or base64url.
    ///
    /// # Errors
    /// What it is instead, without quoting it.
    pub fn parse_text(text: &str) -> Result<Zeroizing<[u8; 32]>, SealingKeyError> {
        sealing_text::from_text(text)
    }

    /// A new key, in base64url.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(Zeroizing::new(entropy.bytes32())))
    }

    /// The check value. The database stores it to recognise the key. It is derived, so it does not reveal the key.
    #[must_use]
    pub fn check_value(&self) -> &[u8] {
        &self.check
    }

    /// Whether this is the key with which a database was claimed.
    #[must_use]
    pub fn answers(&self, check_value: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.check, check_value).is_ok()
    }

    /// A short name of the key, for messages.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.check)
    }

    /// The tag over the other bytes of a refresh token.
    #[must_use]
    pub fn tag(&self, bytes: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&self.tag, bytes).as_ref());
        out
    }

    /// The keyed hash of a short code, bound to its owner.
    #[must_use]
    pub fn code_hash(&self, owner: &str, code: &str) -> [u8; 32] {
        tag_of(&self.codes, &[owner.as_bytes(), b"\0", code.as_bytes()])
    }

    /// The tag by which the person who asked for a ticket proves it. Its link and its code do not reveal it. The hash
    /// of a code begins with the id of a ticket, so the two never meet.
    #[must_use]
    pub fn asker_tag(&self, ticket: &str) -> [u8; 32] {
        tag_of(&self.codes, &[b"asker\0", ticket.as_bytes()])
    }

    /// The keyed hash of what a ticket is about.
    #[must_use]
    pub fn topic_hash(&self, kind: &str, name: &str) -> [u8; 32] {
        tag_of(&self.codes, &[b"topic\0", kind.as_bytes(), b"\0", name.as_bytes()])
    }

    /// The tag over the parts of a device token. Each part except the last has a fixed length.
    #[must_use]
    pub fn device_tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        tag_of(&self.devices, parts)
    }

    /// The key of a count of failures. Without the sealing key it does not reveal what is counted.
    #[must_use]
    pub fn limit_key(&self, kind: LimitKind, name: &[u8]) -> LimitKey {
        LimitKey { kind, hash: tag_of(&self.limits, &[kind.as_str().as_bytes(), b"\0", name]) }
    }

    /// Encrypts `plain` for a purpose. Returns nonce, ciphertext and tag. Only the same purpose can open it.
    #[must_use]
    #[expect(clippy::expect_used, reason = "sealing fails only for texts of 64 GiB")]
    pub fn seal(&self, plain: &[u8], purpose: &str, entropy: &dyn Entropy) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut text = plain.to_vec();
        let aad = Aad::from(purpose.as_bytes());
        self.seal.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).expect("a short text");
        [nonce.as_slice(), &text].concat()
    }

    /// Decrypts what was sealed for this purpose. Returns nothing if the key, the purpose or any byte differs.
    #[must_use]
    pub fn open(&self, sealed: &[u8], purpose: &str) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = self.seal.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

fn tag_of(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// A short name of the key with this check value.
#[must_use]
pub fn fingerprint(check_value: &[u8]) -> String {
    sha256(check_value).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn a_sealed_text_opens_only_with_its_key_and_purpose() {
        let key = SealingKey::new(&Zeroizing::new([7; 32]));
        let sealed = key.seal(b"plain", "a", &SeededEntropy::new(1));
        assert_eq!(key.open(&sealed, "a").unwrap().as_slice(), b"plain");
        assert!(key.open(&sealed, "b").is_none());
        assert!(SealingKey::new(&Zeroizing::new([8; 32])).open(&sealed, "a").is_none());
        assert!(key.open(b"short", "a").is_none());
        assert!(!sealed.windows(5).any(|w| w == b"plain"));
    }

    #[test]
    fn counts_differ_by_kind_and_by_sealing_key() {
        let key = SealingKey::new(&Zeroizing::new([7; 32]));
        let name = key.limit_key(LimitKind::Account, b"ada");
        assert_eq!(name, key.limit_key(LimitKind::Account, b"ada"));
        assert_ne!(name.hash, key.limit_key(LimitKind::Devices, b"ada").hash);
        assert_ne!(name.hash, SealingKey::new(&Zeroizing::new([8; 32])).limit_key(LimitKind::Account, b"ada").hash);
        assert_ne!(name.hash, sha256(b"ada"));
    }
}
