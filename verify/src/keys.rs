//! Public keys, parsed once.

use std::collections::HashMap;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{BigUint, RsaPublicKey, pkcs1::EncodeRsaPublicKey, traits::PublicKeyParts};
use serde_json::{Map, Value};

use crate::jws::parse_object;

mod weak;

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
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The algorithm of a JOSE name, compared exactly.
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

/// Why a text is no key set to trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// Not a JSON object with an array `keys` of objects, or a name stands twice in it.
    #[error("not a JSON Web Key Set")]
    Malformed,
    /// Two keys have the same `kid`.
    #[error("two keys have the same kid")]
    DuplicateKid,
    /// A secret key stands in it, or a private member.
    #[error("the set holds secret or private keys")]
    Secret,
}

/// A verified, parsed set of public keys.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: HashMap<String, Key>,
    /// The text it was read from, hashed: the same text is the same set.
    #[cfg(feature = "http")]
    digest: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    public: ParsedPublicKey,
}

impl Key {
    /// Whether the signature over these bytes is good.
    pub(crate) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        // No honest signer writes an `R` of small order, and the library accepts it.
        let sound = self.algorithm != Algorithm::EdDsa || signature.first_chunk().is_some_and(weak::is_sound_point);
        sound && self.public.verify_sig(signed, signature).is_ok()
    }
}

impl KeySet {
    /// Reads a JSON Web Key Set (RFC 7517 §5). Keys of unknown kinds are left out, the rest kept.
    ///
    /// # Errors
    /// If the set as a whole cannot be trusted.
    pub fn from_json(json: &[u8]) -> Result<Self, KeySetError> {
        let text = std::str::from_utf8(json).map_err(|_| KeySetError::Malformed)?;
        let set = parse_object(text).map_err(|_| KeySetError::Malformed)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::Malformed)?;
        let mut keys = HashMap::new();
        let mut kids = std::collections::HashSet::new();
        for item in list {
            let jwk = item.as_object().ok_or(KeySetError::Malformed)?;
            refuse_secrets(jwk)?;
            let Some(kid) = text_of(jwk, "kid").filter(|k| k.len() <= 256) else { continue };
            if !kids.insert(kid.to_owned()) {
                return Err(KeySetError::DuplicateKid);
            }
            if let Some(key) = key(jwk) {
                keys.insert(kid.to_owned(), key);
            }
        }
        Ok(Self {
            keys,
            #[cfg(feature = "http")]
            digest: aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, json).as_ref().to_vec(),
        })
    }

    /// Whether both were read from the same text.
    #[cfg(feature = "http")]
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    pub(crate) fn get(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }

    /// How many keys can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none can.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

fn text_of<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name).and_then(Value::as_str)
}

fn refuse_secrets(jwk: &Map<String, Value>) -> Result<(), KeySetError> {
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].iter().any(|name| jwk.contains_key(*name));
    if private || text_of(jwk, "kty") == Some("oct") { Err(KeySetError::Secret) } else { Ok(()) }
}

/// The key, if it is one to verify signatures with and of a kind known here.
fn key(jwk: &Map<String, Value>) -> Option<Key> {
    // A key of another issuer, published beside the server's own for the sake of tokens it signed there. It
    // signs none of the server's: whoever has its private part must not be able to say so.
    if jwk.get("foreign").is_some_and(|f| f != false) {
        return None;
    }
    let usable = jwk.get("use").is_none_or(|u| u == "sig")
        && jwk.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|o| o.iter().any(|v| v == "verify")));
    if !usable {
        return None;
    }
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text_of(jwk, name)?).ok();
    let (algorithm, public) = match (text_of(jwk, "kty")?, text_of(jwk, "crv")) {
        ("RSA", _) => (Algorithm::Rs256, rsa_key(&bytes("n")?, &bytes("e")?)?),
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            // Full-length coordinates (RFC 7518 §6.2.1.2); the library checks that the point is on the curve.
            let point = (x.len() == 32 && y.len() == 32).then(|| [&[4][..], &x, &y].concat())?;
            (Algorithm::Es256, parsed(&ECDSA_P256_SHA256_FIXED, &point)?)
        }
        ("OKP", Some("Ed25519")) => {
            let x: [u8; 32] = bytes("x")?.try_into().ok().filter(weak::is_sound_point)?;
            (Algorithm::EdDsa, parsed(&ED25519, &x)?)
        }
        _ => return None,
    };
    // One algorithm per key: a key that names another is not for us.
    let named = jwk.get("alg").is_none_or(|a| a.as_str().and_then(Algorithm::from_name) == Some(algorithm));
    named.then_some(Key { algorithm, public })
}

fn parsed(algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]) -> Option<ParsedPublicKey> {
    ParsedPublicKey::new(algorithm, bytes).ok()
}

/// The `rsa` crate checks the numbers and writes them as PKCS#1; verification is aws-lc-rs's.
fn rsa_key(n: &[u8], e: &[u8]) -> Option<ParsedPublicKey> {
    // Minimal octets (RFC 7518 §6.3.1.1).
    if n.first() == Some(&0) || e.first() == Some(&0) {
        return None;
    }
    let key = RsaPublicKey::new_with_max_size(BigUint::from_bytes_be(n), BigUint::from_bytes_be(e), 8192).ok()?;
    let strong = key.n().bits() >= 2048 && !weak::is_roca(n);
    let der = strong.then(|| key.to_pkcs1_der().ok())??;
    parsed(&RSA_PKCS1_2048_8192_SHA256, der.as_bytes())
}
