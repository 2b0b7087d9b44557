//! Generates signing keys, and signs with parsed keys.
//!
//! The compact JWS is built here directly. A library that parses the private key for every token takes three times
//! as long as the signature itself.

use std::collections::BTreeMap;

use aws_lc_rs::{
    pkcs8::Document,
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, Signature},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::sealing::SealingKey;
use crate::{
    domain::keys::{Algorithm, KeyState, StoredKey},
    entropy::Entropy,
    error::{Error, Result},
    id::KeyId,
    secret::sha256,
    time::Timestamp,
};

/// The claims of an access token (RFC 9068 §2.2), in the order they are written.
#[derive(Debug, Serialize)]
pub struct AccessClaims<'a> {
    /// The issuer.
    pub iss: &'a str,
    /// The user's subject, or the client's id.
    pub sub: &'a str,
    /// The one audience.
    pub aud: &'a str,
    /// The client.
    pub client_id: &'a str,
    /// When it was issued, in seconds.
    pub iat: i64,
    /// When it expires, in seconds.
    pub exp: i64,
    /// 128 random bits.
    pub jti: &'a str,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<&'a str>,
    /// The scopes, separated by spaces.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub scope: &'a str,
    /// The permissions for the audience (RFC 9068 §2.2.3.1).
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub entitlements: &'a [String],
    /// The roles that grant a permission there (RFC 9068 §2.2.3.1).
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub roles: &'a [String],
    /// When the user authenticated, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// The authentication methods (RFC 8176).
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub amr: &'a [String],
    /// The authentication level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<&'a str>,
    /// The position of the token's status (draft-ietf-oauth-status-list §6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status<'a>>,
    /// The claims selected by the client's claim map.
    #[serde(flatten)]
    pub extra: &'a Map<String, Value>,
}

/// The claim `status`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Status<'a> {
    /// The only member.
    pub status_list: StatusReference<'a>,
}

/// A position in a status list.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StatusReference<'a> {
    /// The index.
    pub idx: u32,
    /// The URI of the list.
    pub uri: &'a str,
}

/// A parsed private key.
pub(super) enum Pair {
    Rsa(Box<rsa::KeyPair>),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    /// Parses a PKCS#8 private key.
    pub(super) fn parse(algorithm: Algorithm, pkcs8: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Rs256 => rsa::KeyPair::from_pkcs8(pkcs8).ok().map(|k| Self::Rsa(Box::new(k))),
            Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok().map(Self::Ecdsa),
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(pkcs8).ok().map(Self::Ed25519),
        }
    }

    /// Signs a message.
    pub(super) fn sign(&self, message: &[u8]) -> Result<SignatureBytes> {
        let failed = |_| Error::Internal("the signature failed".into());
        match self {
            Self::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut out).map_err(failed)?;
                Ok(SignatureBytes::Long(out))
            }
            Self::Ecdsa(pair) => short(&pair.sign(&SystemRandom::new(), message).map_err(failed)?),
            Self::Ed25519(pair) => short(&pair.sign(message)),
        }
    }

    /// Maximum length of a signature in base64url.
    pub(super) fn signature_chars(&self) -> usize {
        match self {
            Self::Rsa(pair) => pair.public_modulus_len() * 4 / 3 + 2,
            Self::Ecdsa(_) | Self::Ed25519(_) => 86,
        }
    }

    /// The members of the public JWK that RFC 7638 §3.2 hashes.
    fn public_members(&self) -> Result<Value> {
        Ok(match self {
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let n = encode(public.modulus().big_endian_without_leading_zero());
                let e = encode(public.exponent().big_endian_without_leading_zero());
                json!({ "e": e, "kty": "RSA", "n": n })
            }
            Self::Ecdsa(pair) => {
                // An uncompressed point: 4, X, Y (SEC 1 §2.3.3).
                let point = pair.public_key().as_ref();
                let (x, y) = (point.get(1..33), point.get(33..65));
                let (x, y) = x.zip(y).ok_or_else(|| Error::Internal("an odd point".into()))?;
                json!({ "crv": "P-256", "kty": "EC", "x": encode(x), "y": encode(y) })
            }
            Self::Ed25519(pair) => {
                json!({ "crv": "Ed25519", "kty": "OKP", "x": encode(pair.public_key().as_ref()) })
            }
        })
    }
}

/// Copies a short signature out of the library's type, which has room for the longest one: moving its 4.6 KB would
/// be slow.
fn short(signature: &Signature) -> Result<SignatureBytes> {
    let bytes = signature.as_ref().try_into();
    bytes.map(SignatureBytes::Short).map_err(|_| Error::Internal("a signature of an odd length".into()))
}

/// A signature, on the heap only if it is long.
pub(super) enum SignatureBytes {
    Short([u8; 64]),
    Long(Vec<u8>),
}

impl AsRef<[u8]> for SignatureBytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Short(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// RFC 7638 §3: SHA-256 over the required members in lexicographic order, without white space. They are sorted here: a
/// crate elsewhere may have `serde_json` keep them as they came.
pub(super) fn thumbprint(required: &Value) -> String {
    let members: BTreeMap<&String, &Value> = required.as_object().into_iter().flatten().collect();
    encode(&sha256(json!(members).to_string().as_bytes()))
}

/// The kind of key to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyKind {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The size of an RSA key, in bits.
    pub rsa_bits: i64,
}

/// Generates a key and seals it. For RSA this takes up to a second, so do not call it on an async thread.
///
/// # Errors
/// [`Error::Internal`] if the library fails.
pub fn generate(
    wanted: KeyKind,
    state: KeyState,
    sealing: &SealingKey,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<StoredKey> {
    let algorithm = wanted.algorithm;
    let failed = |_: aws_lc_rs::error::Unspecified| Error::Internal("making a signing key failed".into());
    let owned = |made: Document| Zeroizing::new(made.as_ref().to_vec());
    let made = match algorithm {
        Algorithm::Rs256 => entropy.rsa_private_key(match wanted.rsa_bits {
            4096 => rsa::KeySize::Rsa4096,
            3072 => rsa::KeySize::Rsa3072,
            _ => rsa::KeySize::Rsa2048,
        }),
        Algorithm::Es256 => {
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).map(owned)
        }
        Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map(owned),
    };
    let pkcs8 = made.map_err(failed)?;
    let pair = Pair::parse(algorithm, &pkcs8).ok_or_else(|| Error::Internal("a new key does not parse".into()))?;
    let mut public_jwk = pair.public_members()?;
    let kid = thumbprint(&public_jwk);
    if let Some(members) = public_jwk.as_object_mut() {
        members.insert("kid".to_owned(), json!(kid));
        members.insert("alg".to_owned(), json!(algorithm.as_str()));
        members.insert("use".to_owned(), json!("sig"));
    }
    let id = KeyId::new(now, entropy);
    let sealed = sealing.seal(&pkcs8, &purpose(id.as_str()), entropy);
    let activated_at = (state == KeyState::Active).then_some(now);
    Ok(StoredKey {
        id,
        kid,
        algorithm,
        state,
        public_jwk,
        sealed,
        sealing_version: i64::from(sealing.version()),
        created_at: now,
        activated_at,
        retired_at: None,
        rotate_at: None,
    })
}

/// The purpose for which a private key is sealed.
#[must_use]
pub fn purpose(id: &str) -> String {
    format!("signing key {id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j26_kid_is_the_rfc_7638_thumbprint() {
        let rsa = json!({"kty": "RSA", "e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"});
        assert_eq!(thumbprint(&rsa), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let okp = json!({"crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(thumbprint(&okp), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
