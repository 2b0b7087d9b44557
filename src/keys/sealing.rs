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

/// The subkeys of one version of the sealing key.
pub struct SealingKey {
    /// What the texts and rows name that are made with it. Only the database knows, by the check value.
    version: u8,
    tag: hmac::Key,
    codes: hmac::Key,
    devices: hmac::Key,
    limits: hmac::Key,
    visitor_cookies: hmac::Key,
    session_cookies: hmac::Key,
    form_tokens: hmac::Key,
    form_proofs: hmac::Key,
    passkey_challenges: hmac::Key,
    recovery_codes: hmac::Key,
    flow: hkdf::Prk,
    form_ids: hkdf::Prk,
    passkey_logins: hkdf::Prk,
    seal: LessSafeKey,
    browser_seal: LessSafeKey,
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

/// The cipher with this subkey.
#[expect(clippy::expect_used, reason = "the key has AES-256's length by its type")]
fn seals(subkey: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, subkey).expect("a key of 32 bytes"))
}

impl SealingKey {
    /// Derives the subkeys from the 32 bytes of the sealing key. It is the first version until something else is said.
    #[must_use]
    pub fn new(secret: &Zeroizing<[u8; 32]>) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"chancery").extract(&**secret);
        let tags = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &*subkey(&prk, purpose));
        let expands = |purpose| hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &*subkey(&prk, purpose));
        Self {
            version: 1,
            tag: tags("refresh tag v1"),
            codes: tags("mailed codes v1"),
            devices: tags("device tokens v1"),
            limits: tags("limits v1"),
            visitor_cookies: tags("visitor cookie v1"),
            session_cookies: tags("session cookie v1"),
            form_tokens: tags("form tokens v1"),
            form_proofs: tags("form proofs v1"),
            passkey_challenges: tags("passkey challenges v1"),
            recovery_codes: tags("recovery codes v1"),
            flow: expands("flow v1"),
            form_ids: expands("form ids v1"),
            passkey_logins: expands("passkey logins v1"),
            seal: seals(&subkey(&prk, "seal v1")),
            browser_seal: seals(&subkey(&prk, "browser secrets v1")),
            check: *subkey(&prk, "check v1"),
        }
    }

    /// The same key as this version.
    #[must_use]
    pub fn with_version(self, version: u8) -> Self {
        Self { version, ..self }
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version
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

    /// The tag of a visitor's cookie.
    pub(super) fn visitor_cookie_tag(&self, bytes: &[u8]) -> [u8; 32] {
        tag_of(&self.visitor_cookies, &[bytes])
    }

    /// The tag of a session cookie.
    pub(super) fn session_cookie_tag(&self, bytes: &[u8]) -> [u8; 32] {
        tag_of(&self.session_cookies, &[bytes])
    }

    /// The tag of a form, over parts of any length.
    pub(super) fn form_tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        tag_of_parts(&self.form_tokens, parts)
    }

    /// The keyed hash of what a form was submitted with, over parts of any length.
    pub(super) fn form_proof(&self, parts: &[&[u8]]) -> [u8; 32] {
        tag_of_parts(&self.form_proofs, parts)
    }

    /// What the challenge of a step for passkeys is made of, over parts of any length.
    pub(super) fn passkey_challenge(&self, parts: &[&[u8]]) -> [u8; 32] {
        tag_of_parts(&self.passkey_challenges, parts)
    }

    /// What a recovery code is made of that has to be shown again, over parts of any length. One of them must be a secret of
    /// its user: the database and this key alone must not give it.
    #[must_use]
    pub fn recovery_code(&self, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(tag_of_parts(&self.recovery_codes, parts))
    }

    /// Where the keys come from that seal sign-ins with passkeys of which nothing is proved yet.
    pub(super) fn passkey_login_keys(&self) -> &hkdf::Prk {
        &self.passkey_logins
    }

    /// Where the keys come from that seal the state of a flow.
    pub(super) fn flow_keys(&self) -> &hkdf::Prk {
        &self.flow
    }

    /// Where the keys come from that seal the ids of forms.
    pub(super) fn form_id_keys(&self) -> &hkdf::Prk {
        &self.form_ids
    }

    /// Encrypts `plain` for a purpose. Returns nonce, ciphertext and tag. Only the same purpose can open it.
    #[must_use]
    pub fn seal(&self, plain: &[u8], purpose: &str, entropy: &dyn Entropy) -> Vec<u8> {
        seal_with(&self.seal, plain, purpose, entropy)
    }

    /// Decrypts what was sealed for this purpose. Returns nothing if the key, the purpose or any byte differs.
    #[must_use]
    pub fn open(&self, sealed: &[u8], purpose: &str) -> Option<Zeroizing<Vec<u8>>> {
        open_with(&self.seal, sealed, purpose)
    }

    /// Like [`Self::seal`], for what a row keeps for a browser, such as the cookie that a form was answered with. Its
    /// nonces are random, so it is for rows alone, which are written once something is proved. What anybody can ask
    /// for in any number is sealed by [`super::flow_seal`].
    #[must_use]
    pub fn seal_for_browser(&self, plain: &[u8], purpose: &str, entropy: &dyn Entropy) -> Vec<u8> {
        seal_with(&self.browser_seal, plain, purpose, entropy)
    }

    /// Decrypts what [`Self::seal_for_browser`] sealed for this purpose.
    #[must_use]
    pub fn open_for_browser(&self, sealed: &[u8], purpose: &str) -> Option<Zeroizing<Vec<u8>>> {
        open_with(&self.browser_seal, sealed, purpose)
    }
}

#[expect(clippy::expect_used, reason = "sealing fails only for texts of 64 GiB")]
fn seal_with(key: &LessSafeKey, plain: &[u8], purpose: &str, entropy: &dyn Entropy) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    entropy.fill(&mut nonce);
    let mut text = plain.to_vec();
    let aad = Aad::from(purpose.as_bytes());
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).expect("a short text");
    [nonce.as_slice(), &text].concat()
}

fn open_with(key: &LessSafeKey, sealed: &[u8], purpose: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut text = Zeroizing::new(text.to_vec());
    let length = key.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
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

/// The tag over parts of any length, each with its length in front, so that no two lists of parts have one tag.
fn tag_of_parts(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
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
    fn what_is_sealed_for_a_browser_opens_as_that_alone() {
        let key = SealingKey::new(&Zeroizing::new([7; 32]));
        let sealed = key.seal_for_browser(b"plain", "a", &SeededEntropy::new(1));
        assert_eq!(key.open_for_browser(&sealed, "a").unwrap().as_slice(), b"plain");
        assert!(key.open_for_browser(&sealed, "b").is_none() && key.open(&sealed, "a").is_none());
        assert!(key.open_for_browser(&key.seal(b"plain", "a", &SeededEntropy::new(1)), "a").is_none());
    }

    #[test]
    fn parts_of_a_tag_cannot_be_moved_into_one_another() {
        let key = SealingKey::new(&Zeroizing::new([7; 32]));
        let tags = [&[&b"ab"[..], b"c"][..], &[b"a", b"bc"], &[b"abc"], &[b"abc", b""], &[b"", b"abc"]];
        let tags: std::collections::BTreeSet<_> = tags.iter().map(|parts| key.form_tag(parts)).collect();
        assert_eq!(tags.len(), 5);
        assert_ne!(key.form_tag(&[b"abc"]), key.form_proof(&[b"abc"]));
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
