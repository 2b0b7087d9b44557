//! Reading public keys of other issuers: a JWKS or a JWK (RFC 7517), or PEM (RFC 7468 §13).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ParsedPublicKey, VerificationAlgorithm,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_verify::KeySet;
use rsa::{
    RsaPublicKey,
    pkcs8::{DecodePublicKey, Document, ObjectIdentifier, spki::SubjectPublicKeyInfoRef},
    traits::PublicKeyParts,
};
use serde_json::{Map, Value, json};

use super::signer::thumbprint;

/// The member that marks a published key as another issuer's: no token of this server is signed with it.
pub const FOREIGN: &str = "foreign";

/// What is wrong with the text of a key.
type Problem = String;

/// Reads public keys, each as the JWK that will be published. A key without a `kid` is known by its
/// RFC 7638 thumbprint; a PEM file holds one key, whose `kid` and `alg` may be given.
///
/// # Errors
/// What is wrong, without the key.
pub fn read_foreign_keys(text: &str, kid: Option<&str>, alg: Option<&str>) -> Result<Vec<Value>, Problem> {
    if text.contains("PRIVATE KEY-----") {
        return Err("must not be a private key; give the public one (openssl pkey -in FILE -pubout)".to_owned());
    }
    if text.trim_start().starts_with("-----BEGIN") {
        return Ok(vec![published(&of_pem(text)?, kid, alg)?]);
    }
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return Err("must be a JWKS, a JWK or a PEM file".to_owned());
    };
    let keys = match object.get("keys") {
        Some(Value::Array(keys)) => keys.iter().map(|k| k.as_object().cloned().unwrap_or_default()).collect(),
        _ => vec![object],
    };
    if keys.is_empty() {
        return Err("must contain a key".to_owned());
    }
    if keys.len() > 1 && (kid.is_some() || alg.is_some()) {
        return Err("has several keys; kid and alg can be given for a single key only".to_owned());
    }
    keys.iter().map(|key| published(key, kid, alg)).collect()
}

/// The public members alone, checked, and the name that tokens know the key by.
fn published(key: &Map<String, Value>, kid: Option<&str>, alg: Option<&str>) -> Result<Value, Problem> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    if KeySet::from_json(json!({ "keys": [key] }).to_string().as_bytes()).is_err() {
        return Err("must not have private members; give only the public key".to_owned());
    }
    if text("use").is_some_and(|usage| usage != "sig") {
        return Err("must be for signatures (use = sig)".to_owned());
    }
    let (required, algorithms) = required(key)?;
    let alg = alg.or_else(|| text("alg")).unwrap_or_else(|| algorithms.first().copied().unwrap_or_default());
    if !algorithms.contains(&alg) {
        return Err(format!("the algorithm of this key must be one of {}", algorithms.join(", ")));
    }
    let kid = kid.or_else(|| text("kid")).map_or_else(|| thumbprint(&required), ToOwned::to_owned);
    if kid.is_empty() || kid.len() > 255 || kid.chars().any(char::is_control) {
        return Err("a kid must be 1 to 255 bytes without control characters".to_owned());
    }
    let mut out = required;
    if let Some(members) = out.as_object_mut() {
        let more = [("kid", json!(kid)), ("alg", json!(alg)), ("use", json!("sig")), (FOREIGN, json!(true))];
        members.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    Ok(out)
}

const RSA: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/// What RFC 7638 §3.2 demands of the key, and the algorithms that it may be for.
fn required(key: &Map<String, Value>) -> Result<(Value, &'static [&'static str]), Problem> {
    let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)).ok();
    let wrong = || "the key is malformed or weak".to_owned();
    match (text("kty"), text("crv")) {
        ("RSA", _) => {
            let jwk = json!({ "e": text("e"), "kty": "RSA", "n": text("n") });
            if !sound(&jwk) {
                return Err("an RSA key must be valid and have 2048 to 8192 bits".to_owned());
            }
            Ok((jwk, &RSA))
        }
        ("EC", crv) => {
            let (algorithm, size, alg) = curve(crv).ok_or("an EC key must be on P-256, P-384 or P-521")?;
            let (x, y) =
                bytes("x").zip(bytes("y")).filter(|(x, y)| x.len() == size && y.len() == size).ok_or_else(wrong)?;
            ParsedPublicKey::new(algorithm, [&[4][..], &x, &y].concat()).map_err(|_| wrong())?;
            Ok((json!({ "crv": crv, "kty": "EC", "x": text("x"), "y": text("y") }), alg))
        }
        ("OKP", "Ed25519") => {
            let jwk = json!({ "crv": "Ed25519", "kty": "OKP", "x": text("x") });
            if sound(&jwk) { Ok((jwk, &["EdDSA", "Ed25519"])) } else { Err(wrong()) }
        }
        _ => Err("a key must be an RSA, EC or Ed25519 public key".to_owned()),
    }
}

type Curve = (&'static dyn VerificationAlgorithm, usize, &'static [&'static str]);

/// How keys of a curve are parsed, the bytes of a coordinate (RFC 7518 §6.2.1.2), and what they are for.
fn curve(name: &str) -> Option<Curve> {
    match name {
        "P-256" => Some((&ECDSA_P256_SHA256_FIXED, 32, &["ES256"])),
        "P-384" => Some((&ECDSA_P384_SHA384_FIXED, 48, &["ES384"])),
        "P-521" => Some((&ECDSA_P521_SHA512_FIXED, 66, &["ES512"])),
        _ => None,
    }
}

/// Whether a verifier would take such a key of ours: it knows the weak ones.
fn sound(jwk: &Value) -> bool {
    let mut key = jwk.as_object().cloned().unwrap_or_default();
    key.insert("kid".to_owned(), json!("any"));
    KeySet::from_json(json!({ "keys": [key] }).to_string().as_bytes()).is_ok_and(|set| set.len() == 1)
}

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const CURVES: [(ObjectIdentifier, &str); 3] = [
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), "P-256"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), "P-384"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), "P-521"),
];

/// The JWK of a PEM file's `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7).
fn of_pem(text: &str) -> Result<Map<String, Value>, Problem> {
    let no_key =
        || "the PEM file must contain one PUBLIC KEY (openssl pkey -pubin -in FILE, openssl x509 -pubkey -noout)";
    let (label, der) = Document::from_pem(text.trim()).map_err(|_| no_key())?;
    if label != "PUBLIC KEY" {
        return Err(no_key().to_owned());
    }
    let info = SubjectPublicKeyInfoRef::try_from(der.as_bytes()).map_err(|_| no_key())?;
    let bits = info.subject_public_key.raw_bytes();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = match info.algorithm.oid {
        RSA_ENCRYPTION => {
            let key = RsaPublicKey::from_public_key_der(der.as_bytes()).map_err(|_| no_key())?;
            json!({ "kty": "RSA", "n": encode(&key.n().to_bytes_be()), "e": encode(&key.e().to_bytes_be()) })
        }
        EC_PUBLIC_KEY => {
            let curve = info.algorithm.parameters_oid().ok();
            let (_, crv) = CURVES
                .iter()
                .find(|(oid, _)| Some(*oid) == curve)
                .ok_or("an EC key must be on P-256, P-384 or P-521")?;
            // An uncompressed point: 4, X, Y (SEC 1 §2.3.3).
            let point = bits.strip_prefix(&[4]).ok_or("the point must not be compressed")?;
            let (x, y) = point.split_at_checked(point.len() / 2).ok_or_else(no_key)?;
            json!({ "kty": "EC", "crv": crv, "x": encode(x), "y": encode(y) })
        }
        ED25519_KEY => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(bits) }),
        _ => return Err("a key must be an RSA, EC or Ed25519 public key".to_owned()),
    };
    Ok(jwk.as_object().cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests;
