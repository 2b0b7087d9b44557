//! The issuer's public keys, parsed once.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::json::parse_object;

mod rsa;
mod weak;

/// The number of the next set that is parsed.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// An algorithm this crate verifies. A key has exactly one (RFC 8725 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519, named `EdDSA` (RFC 8037) or `Ed25519` (RFC 9864).
    EdDsa,
}

impl Algorithm {
    /// Every supported algorithm.
    pub(crate) const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The algorithm with this JOSE name, which is case-sensitive.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// Why a key set is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// It is not a JSON object with an array `keys` of objects, or a name occurs twice.
    #[error("not a JSON Web Key Set")]
    Malformed,
    /// Two keys have the same `kid`.
    #[error("two keys have the same kid")]
    DuplicateKid,
    /// It contains a symmetric key or a private member.
    #[error("the key set contains secret or private keys")]
    Secret,
}

/// A set of public keys that have been checked and parsed.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: HashMap<String, Key>,
    /// Distinguishes it from every other set of this process, and keeps none in memory. Empty sets share one.
    id: u64,
    /// SHA-256 of the text it was parsed from, to detect an unchanged set.
    #[cfg(feature = "http")]
    digest: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    public: ParsedPublicKey,
}

impl Key {
    /// Whether the signature over these bytes is valid.
    pub(crate) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        // The library accepts an `R` of small order, but no honest signer produces one.
        let sound = self.algorithm != Algorithm::EdDsa || signature.first_chunk().is_some_and(weak::is_sound_point);
        sound && self.public.verify_sig(signed, signature).is_ok()
    }
}

impl KeySet {
    /// Parses a JSON Web Key Set (RFC 7517 §5). Keys of unknown types are skipped, as the RFC requires.
    ///
    /// # Errors
    /// The set as a whole cannot be trusted.
    pub fn from_json(json: &[u8]) -> Result<Self, KeySetError> {
        let text = std::str::from_utf8(json).map_err(|_| KeySetError::Malformed)?;
        let set = parse_object(text).map_err(|_| KeySetError::Malformed)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::Malformed)?;
        let mut keys = HashMap::new();
        let mut kids = std::collections::HashSet::new();
        for item in list {
            let jwk = item.as_object().ok_or(KeySetError::Malformed)?;
            refuse_secrets(jwk)?;
            let Some(kid) = string_member(jwk, "kid").filter(|k| k.len() <= 256) else { continue };
            if !kids.insert(kid.to_owned()) {
                return Err(KeySetError::DuplicateKid);
            }
            if let Some(key) = parse_key(jwk) {
                keys.insert(kid.to_owned(), key);
            }
        }
        Ok(Self {
            keys,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            #[cfg(feature = "http")]
            digest: aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, json).as_ref().to_vec(),
        })
    }

    /// Distinguishes it from every other set of this process.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// Whether both were parsed from the same text.
    #[cfg(feature = "http")]
    pub(crate) fn has_same_text(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    pub(crate) fn get(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }

    /// The number of usable keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no usable key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

fn string_member<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name).and_then(Value::as_str)
}

fn refuse_secrets(jwk: &Map<String, Value>) -> Result<(), KeySetError> {
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].iter().any(|name| jwk.contains_key(*name));
    if private || string_member(jwk, "kty") == Some("oct") { Err(KeySetError::Secret) } else { Ok(()) }
}

/// The key, if it is a supported one for verifying signatures.
fn parse_key(jwk: &Map<String, Value>) -> Option<Key> {
    // Another issuer's key, published here so that others can verify the tokens it signed. It must not verify
    // the server's own tokens: whoever holds its private part could forge them.
    if jwk.get("foreign").is_some_and(|f| f != false) {
        return None;
    }
    let usable = jwk.get("use").is_none_or(|u| u == "sig")
        && jwk.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|o| o.iter().any(|v| v == "verify")));
    if !usable {
        return None;
    }
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(string_member(jwk, name)?).ok();
    let (algorithm, public) = match (string_member(jwk, "kty")?, string_member(jwk, "crv")) {
        ("RSA", _) => (
            Algorithm::Rs256,
            parse_public_key(&RSA_PKCS1_2048_8192_SHA256, &rsa::public_key(&bytes("n")?, &bytes("e")?)?)?,
        ),
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            // Coordinates must have full length (RFC 7518 §6.2.1.2). The library checks that the point is on
            // the curve.
            let point = (x.len() == 32 && y.len() == 32).then(|| [&[4][..], &x, &y].concat())?;
            (Algorithm::Es256, parse_public_key(&ECDSA_P256_SHA256_FIXED, &point)?)
        }
        ("OKP", Some("Ed25519")) => {
            let x: [u8; 32] = bytes("x")?.try_into().ok().filter(weak::is_sound_point)?;
            (Algorithm::EdDsa, parse_public_key(&ED25519, &x)?)
        }
        _ => return None,
    };
    // A key has one algorithm. Skip a key that names another one.
    let named = jwk.get("alg").is_none_or(|a| a.as_str().and_then(Algorithm::from_name) == Some(algorithm));
    named.then_some(Key { algorithm, public })
}

fn parse_public_key(algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]) -> Option<ParsedPublicKey> {
    ParsedPublicKey::new(algorithm, bytes).ok()
}
