//! Sealing under a key of its own for each text: base64url(format, sealing key version, salt, ciphertext, tag).
//!
//! Anybody can have any number of these made, without proving anything. With one AES-GCM key, random nonces would
//! repeat after some 2^32 of them. Here HKDF-Expand (RFC 5869 §2.3) makes key and nonce from a subkey and a salt of
//! 128 random bits, which stands in the text.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{sealing::SealingKey, sealing_keys::SealingKeys};
use crate::entropy::Entropy;

const FORMAT: u8 = 1;
/// Format and version.
const HEAD: usize = 2;
const SALT: usize = 16;
const KEY: usize = 32;
const TAG: usize = 16;

/// The longest text: what browsers, proxies and servers take as part of a URL.
pub(super) const MAX_TEXT: usize = 3072;
/// The most bytes that fit into a text of that length.
pub(super) const MAX_PLAIN: usize = MAX_TEXT / 4 * 3 - HEAD - SALT - TAG;

struct KeyAndNonce;

impl hkdf::KeyType for KeyAndNonce {
    fn len(&self) -> usize {
        KEY + NONCE_LEN
    }
}

/// The key and the nonce for a salt.
#[expect(clippy::expect_used, reason = "the lengths are those of the types, and far below HKDF's limit")]
fn derive(keys: &hkdf::Prk, salt: &[u8]) -> (LessSafeKey, Nonce) {
    let mut out = Zeroizing::new([0; KEY + NONCE_LEN]);
    let info = [salt];
    let okm = keys.expand(&info, KeyAndNonce).expect("two blocks of SHA-256");
    okm.fill(&mut *out).expect("the length that was asked for");
    let (key, nonce) = out.split_at(KEY);
    let key = UnboundKey::new(&AES_256_GCM, key).expect("a key of 32 bytes");
    (LessSafeKey::new(key), Nonce::try_assume_unique_for_key(nonce).expect("a nonce of 12 bytes"))
}

/// Which of a sealing key's subkeys the keys for a kind of text come from.
pub(super) type KeysOf = fn(&SealingKey) -> &hkdf::Prk;

/// Encrypts bytes under the version in use. The text is opened again only if there are at most [`MAX_PLAIN`] of them.
#[expect(clippy::expect_used, reason = "sealing fails only for texts of 64 GiB")]
pub(super) fn seal(keys: &SealingKeys, of: KeysOf, plain: &[u8], entropy: &dyn Entropy) -> String {
    let salt = entropy.bytes16();
    let sealing = keys.in_use();
    let head = [FORMAT, sealing.version()];
    let (key, nonce) = derive(of(sealing), &salt);
    let mut text = plain.to_vec();
    key.seal_in_place_append_tag(nonce, Aad::from(head), &mut text).expect("a short text");
    URL_SAFE_NO_PAD.encode([&head[..], &salt, &text].concat())
}

/// Decrypts what was sealed as this kind, under the version of the sealing key that it names; nothing if any byte differs, or
/// the spelling.
pub(super) fn open(keys: &SealingKeys, of: KeysOf, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() > MAX_TEXT {
        return None;
    }
    // The decoder rejects padding and trailing bits, so each text has exactly one spelling.
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let &[FORMAT, version] = head else { return None };
    let (salt, sealed) = rest.split_at_checked(SALT)?;
    let (key, nonce) = derive(of(keys.version(version)?), salt);
    let mut plain = Zeroizing::new(sealed.to_vec());
    let length = key.open_in_place(nonce, Aad::from(*head), &mut plain).ok()?.len();
    plain.truncate(length);
    Some(plain)
}
