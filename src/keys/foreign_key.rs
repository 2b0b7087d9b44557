//! Parses public keys of other issuers: a JWKS or a JWK (RFC 7517), or PEM (RFC 7468 §13).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ParsedPublicKey, VerificationAlgorithm,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_verify::{KeySet, KeySetError};
use rsa::{
    RsaPublicKey,
    pkcs8::{DecodePublicKey, Document, ObjectIdentifier, spki::SubjectPublicKeyInfoRef},
    traits::PublicKeyParts,
};
use serde_json::{Map, Value, json};

use super::signer::thumbprint;

/// The member that marks a published key as another issuer's. This server never signs with it.
pub const FOREIGN: &str = "foreign";

/// Maximum size of the text, in bytes: a set of 16 keys with their certificates takes a fraction of it.
pub const MAX_FOREIGN_TEXT: usize = 256 * 1024;
/// Maximum number of keys in a set, those that are left out included.
const MAX_KEYS: usize = 256;
/// How many characters of a `kid` a message quotes, and how many left-out keys an error names.
const QUOTED: usize = 64;
const NAMED: usize = 5;

/// A description of what is wrong with a key.
type Problem = String;

/// What is wrong, and with what: `key`, or the `kid` or `alg` that was given beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongKeys {
    /// `key`, `kid` or `alg`.
    pub field: &'static str,
    /// A description, without the key.
    pub problem: String,
}

impl From<Problem> for WrongKeys {
    fn from(problem: Problem) -> Self {
        Self { field: "key", problem }
    }
}

/// What a text contained.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ForeignKeys {
    /// The usable keys, each as the JWK to publish.
    pub usable: Vec<Value>,
    /// The keys that were left out.
    pub left_out: Vec<LeftOut>,
}

/// A key that cannot be published, because it is not for signatures or not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its `kid` in quotes, or its place, such as `key 2`.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Parses public keys. A key without a `kid` gets its RFC 7638 thumbprint. Keys that are not for signatures, and keys
/// of unknown kinds, are left out, as RFC 7517 §5 asks. `kid` and `alg` may be given for a single key that names none,
/// as in a PEM file.
///
/// # Errors
/// A description of what is wrong, without the key: the text as a whole cannot be trusted, or no key is usable.
pub fn read_foreign_keys(text: &str, kid: Option<&str>, alg: Option<&str>) -> Result<ForeignKeys, WrongKeys> {
    kid.map_or(Ok(()), check_kid).map_err(|problem| WrongKeys { field: "kid", problem })?;
    let keys = parse_text(text)?;
    let (mut found, mut contradicted) = (ForeignKeys::default(), Vec::new());
    for (at, key) in keys.iter().enumerate() {
        refuse_private(key)?;
        match to_jwk(key, kid, alg) {
            Ok(jwk) => found.usable.push(jwk),
            Err(wrong) if keys.len() == 1 => return Err(wrong),
            Err(wrong) if wrong.field != "key" => contradicted.push(wrong),
            Err(wrong) => found.left_out.push(LeftOut { name: name_of(key, at), reason: wrong.problem }),
        }
    }
    match (found.usable.len() + contradicted.len(), contradicted.pop()) {
        (0, _) => Err(nothing_usable(&found.left_out).into()),
        (2.., _) if kid.is_some() || alg.is_some() => {
            Err("has several keys; kid and alg can be given for a single key only".to_owned().into())
        }
        (_, Some(wrong)) => Err(wrong),
        _ => Ok(found),
    }
}

/// What a key says of itself, or else what was given beside it: tokens name what the key says.
fn own_or_given<'a>(
    key: &'a Map<String, Value>,
    field: &'static str,
    given: Option<&'a str>,
) -> Result<Option<&'a str>, WrongKeys> {
    match (text_member(key, field)?, given) {
        (Some(own), Some(given)) if own != given => {
            let own: String = own.chars().take(QUOTED).collect();
            Err(WrongKeys { field, problem: format!("the key itself says {own:?}; leave it out") })
        }
        (own, given) => Ok(own.or(given)),
    }
}

/// Parses the text to JWKs that have not been checked.
fn parse_text(text: &str) -> Result<Vec<Map<String, Value>>, Problem> {
    if text.len() > MAX_FOREIGN_TEXT {
        return Err(format!("must not be larger than {} KiB", MAX_FOREIGN_TEXT / 1024));
    }
    if text.contains("PRIVATE KEY-----") {
        return Err("must not be a private key; give the public one (openssl pkey -in FILE -pubout)".to_owned());
    }
    if text.trim_start().starts_with("-----BEGIN") {
        return Ok(vec![parse_pem(text)?]);
    }
    let Ok(Value::Object(mut object)) = serde_json::from_str(text) else {
        return Err("must be a JWKS, a JWK or a PEM file".to_owned());
    };
    // A key has no member `keys`, and a set has nothing that could stand for one key.
    let keys: Vec<_> = match object.remove("keys") {
        Some(Value::Array(keys)) => keys.into_iter().map(as_object).collect(),
        Some(_) => return Err("must have an array of keys".to_owned()),
        None => vec![object],
    };
    match keys.len() {
        0 => Err("must contain a key".to_owned()),
        1..=MAX_KEYS => Ok(keys),
        _ => Err(format!("must not have more than {MAX_KEYS} keys")),
    }
}

/// An item of a set; an empty one, which is of no known kind, if it is no object.
fn as_object(item: Value) -> Map<String, Value> {
    match item {
        Value::Object(key) => key,
        _ => Map::new(),
    }
}

fn name_of(key: &Map<String, Value>, at: usize) -> String {
    match key.get("kid").and_then(Value::as_str).filter(|kid| !kid.is_empty()) {
        Some(kid) => format!("{:?}", kid.chars().take(QUOTED).collect::<String>()),
        None => format!("key {}", at + 1),
    }
}

fn nothing_usable(left_out: &[LeftOut]) -> Problem {
    let mut named: Vec<_> =
        left_out.iter().take(NAMED).map(|LeftOut { name, reason }| format!("{name}: {reason}")).collect();
    let more = left_out.len().saturating_sub(NAMED);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    format!("has no usable key ({})", named.join("; "))
}

/// A private key is no reason to leave one out in silence: it has leaked to whoever has the file.
fn refuse_private(key: &Map<String, Value>) -> Result<(), Problem> {
    let set = json!({ "keys": [key] }).to_string();
    match KeySet::from_json(set.as_bytes()) {
        Err(KeySetError::Secret) => {
            Err("must not have private members or shared secrets; give only public keys".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_kid(kid: &str) -> Result<(), Problem> {
    if kid.is_empty() || kid.len() > 255 || kid.chars().any(char::is_control) {
        return Err("a kid must be 1 to 255 bytes without control characters".to_owned());
    }
    Ok(())
}

/// A member that must be text where it is present.
fn text_member<'a>(key: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Problem> {
    key.get(name).map(|value| value.as_str().ok_or_else(|| format!("{name} must be a string"))).transpose()
}

/// Whether a key is for checking signatures (RFC 7517 §4.2, §4.3).
fn check_purpose(key: &Map<String, Value>) -> Result<(), Problem> {
    if text_member(key, "use")?.is_some_and(|usage| usage != "sig") {
        return Err("must be for signatures (use = sig)".to_owned());
    }
    let verifies = |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify"));
    if key.get("key_ops").is_some_and(|ops| !verifies(ops)) {
        return Err("must be for checking signatures (key_ops with verify)".to_owned());
    }
    Ok(())
}

/// Checks a key. Returns only its public members, with the `kid` that tokens use.
fn to_jwk(key: &Map<String, Value>, kid: Option<&str>, alg: Option<&str>) -> Result<Value, WrongKeys> {
    check_purpose(key)?;
    let (required, algorithms) = required_members(key)?;
    let given = alg;
    let alg = own_or_given(key, "alg", alg)?.unwrap_or_else(|| algorithms.first().copied().unwrap_or_default());
    if !algorithms.contains(&alg) {
        let field = if given.is_some() { "alg" } else { "key" };
        let problem = format!("the algorithm of this key must be one of {}", algorithms.join(", "));
        return Err(WrongKeys { field, problem });
    }
    let kid = own_or_given(key, "kid", kid)?;
    let kid = kid.map_or_else(|| thumbprint(&required), ToOwned::to_owned);
    check_kid(&kid)?;
    let mut out = required;
    if let Some(members) = out.as_object_mut() {
        let more = [("kid", json!(kid)), ("alg", json!(alg)), ("use", json!("sig")), (FOREIGN, json!(true))];
        members.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    Ok(out)
}

const RSA: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/// The members required by RFC 7638 §3.2, and the algorithms that the key may be used with.
fn required_members(key: &Map<String, Value>) -> Result<(Value, &'static [&'static str]), Problem> {
    let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)).ok();
    let wrong = || "the key is malformed or weak".to_owned();
    match (text("kty"), text("crv")) {
        ("RSA", _) => {
            let jwk = json!({ "e": text("e"), "kty": "RSA", "n": text("n") });
            if !is_sound(&jwk) {
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
            if is_sound(&jwk) { Ok((jwk, &["EdDSA", "Ed25519"])) } else { Err(wrong()) }
        }
        _ => Err("a key must be an RSA, EC or Ed25519 public key".to_owned()),
    }
}

type Curve = (&'static dyn VerificationAlgorithm, usize, &'static [&'static str]);

/// For a curve: how its keys are parsed, the bytes of a coordinate (RFC 7518 §6.2.1.2), and the algorithms.
fn curve(name: &str) -> Option<Curve> {
    match name {
        "P-256" => Some((&ECDSA_P256_SHA256_FIXED, 32, &["ES256"])),
        "P-384" => Some((&ECDSA_P384_SHA384_FIXED, 48, &["ES384"])),
        "P-521" => Some((&ECDSA_P521_SHA512_FIXED, 66, &["ES512"])),
        _ => None,
    }
}

/// Whether our verifier would accept this as one of our keys. It rejects weak keys.
fn is_sound(jwk: &Value) -> bool {
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

/// Converts the `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7) in a PEM file to a JWK.
fn parse_pem(text: &str) -> Result<Map<String, Value>, Problem> {
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
mod choice;
#[cfg(test)]
mod tests;
