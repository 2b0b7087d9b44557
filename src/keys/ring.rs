//! The signing keys in memory. Each is parsed once.

use std::{collections::HashMap, fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use chancery_verify::KeySet;
use serde::Serialize;
use serde_json::json;

use super::{
    sealing_keys::SealingKeys,
    signer::{AccessClaims, Pair, purpose},
    status_list::ListClaims,
};
use crate::{
    domain::keys::{Algorithm, ForeignKey, KeyState, StoredKey},
    error::{Error, Result},
    secret::{AccessToken, sha256},
};

/// The signing key for one algorithm.
pub struct SigningKey {
    /// The key's id in tokens.
    pub kid: String,
    header: String,
    list_header: String,
    pair: Pair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'static str,
    alg: &'static str,
    kid: &'a str,
}

impl SigningKey {
    fn open(key: &StoredKey, sealing: &SealingKeys) -> Result<Self> {
        let pkcs8 =
            sealing.version_of_row(key.sealing_version).and_then(|k| k.open(&key.sealed, &purpose(key.id.as_str())));
        let pair = pkcs8.and_then(|der| Pair::parse(key.algorithm, &der));
        let pair = pair.ok_or_else(|| Error::Internal(format!("signing key {} does not open", key.id).into()))?;
        let header = |typ| {
            let header = serde_json::to_vec(&Header { typ, alg: key.algorithm.as_str(), kid: &key.kid });
            header.map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(|e| Error::Internal(Box::new(e)))
        };
        let (header, list_header) = (header("at+jwt")?, header("statuslist+jwt")?);
        Ok(Self { kid: key.kid.clone(), header, list_header, pair })
    }

    /// Signs an access token: a compact JWS (RFC 7515 §7.1).
    ///
    /// # Errors
    /// [`Error::Internal`] if the library fails.
    pub fn sign(&self, claims: &AccessClaims<'_>) -> Result<AccessToken> {
        self.finish(self.prepare(claims)?)
    }

    /// Makes the first two parts of an access token: the signing input (RFC 7515 §5.1).
    ///
    /// # Errors
    /// [`Error::Internal`] if the library fails.
    pub fn prepare(&self, claims: &AccessClaims<'_>) -> Result<Unsigned> {
        self.signing_input(&self.header, claims).map(Unsigned)
    }

    /// The size of an access token with its signature, in bytes; at most a few too many.
    #[must_use]
    pub fn size(&self, unsigned: &Unsigned) -> usize {
        unsigned.0.len() + 1 + self.pair.signature_chars()
    }

    /// Adds the third part, the signature.
    ///
    /// # Errors
    /// [`Error::Internal`] if the library fails.
    pub fn finish(&self, unsigned: Unsigned) -> Result<AccessToken> {
        self.add_signature(unsigned.0).map(AccessToken::new)
    }

    /// Whether signing is too slow for an async thread. RSA takes half a millisecond.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        matches!(self.pair, Pair::Rsa(_))
    }

    /// Signs a status list.
    ///
    /// # Errors
    /// [`Error::Internal`] if the library fails.
    pub fn sign_list(&self, claims: &ListClaims<'_>) -> Result<String> {
        self.add_signature(self.signing_input(&self.list_header, claims)?)
    }

    /// Encodes header and claims. Reserves room for the signature, so that nothing is copied again.
    fn signing_input(&self, header: &str, claims: &impl Serialize) -> Result<String> {
        let mut payload = Vec::with_capacity(640);
        serde_json::to_writer(&mut payload, claims).map_err(|e| Error::Internal(Box::new(e)))?;
        let mut token = String::with_capacity(header.len() + payload.len() * 4 / 3 + self.pair.signature_chars() + 8);
        token.push_str(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        Ok(token)
    }

    fn add_signature(&self, mut token: String) -> Result<String> {
        let signature = self.pair.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }
}

/// An access token without its signature.
pub struct Unsigned(String);

impl fmt::Debug for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsigned(…)")
    }
}

/// All keys: the signing keys and the published set.
#[derive(Debug)]
pub struct Keyring {
    active: HashMap<Algorithm, Arc<SigningKey>>,
    /// The JWKS document: active, next and retired keys, and keys of other issuers.
    pub jwks: String,
    /// The same as served over HTTP. It is shared, not copied.
    pub page: Bytes,
    /// A strong entity tag for the document, including the quotes.
    pub etag: String,
    /// Our own keys, for verifying tokens in this process.
    pub verifying: Arc<KeySet>,
    /// The stored keys, in the order of the document.
    pub stored: Vec<StoredKey>,
    /// The keys of other issuers, which follow ours in the document. This server does not trust them.
    pub foreign: Vec<ForeignKey>,
}

impl Keyring {
    /// Unseals and parses all keys.
    ///
    /// # Errors
    /// [`Error::Internal`] if a key cannot be unsealed with this sealing key.
    pub fn open(mut stored: Vec<StoredKey>, foreign: Vec<ForeignKey>, sealing: &SealingKeys) -> Result<Self> {
        // RS256 first, because some libraries take the first key whatever its `kid`. The `kid` decides last, so that all
        // processes publish the same document with the same tag.
        stored.sort_by(|a, b| {
            (a.state, a.algorithm, b.created_at, &a.kid).cmp(&(b.state, b.algorithm, a.created_at, &b.kid))
        });
        let mut active = HashMap::new();
        for key in stored.iter().filter(|k| k.state == KeyState::Active) {
            active.insert(key.algorithm, Arc::new(SigningKey::open(key, sealing)?));
        }
        let own = stored.iter().map(|k| &k.public_jwk);
        let keys: Vec<_> = own.chain(foreign.iter().map(|k| &k.public_jwk)).collect();
        let jwks = json!({ "keys": keys }).to_string();
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(sha256(jwks.as_bytes())));
        // It skips the keys marked as foreign, as all our verifiers do.
        let verifying = KeySet::from_json(jwks.as_bytes()).map_err(|e| Error::Internal(Box::new(e)))?;
        Ok(Self { active, page: jwks.clone().into(), jwks, etag, verifying: Arc::new(verifying), stored, foreign })
    }

    /// The key that signs with this algorithm.
    #[must_use]
    pub fn signing(&self, algorithm: Algorithm) -> Option<Arc<SigningKey>> {
        self.active.get(&algorithm).cloned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use zeroize::Zeroizing;

    use super::*;
    use crate::{
        entropy::SeededEntropy,
        keys::{KeyKind, SealingKey, generate},
        time::Timestamp,
    };

    #[test]
    fn j25_the_published_set_has_only_public_members_and_verifies_tokens() {
        let sealing = SealingKeys::from(SealingKey::new(&Zeroizing::new([1; 32])));
        let now = Timestamp::from_millis(1_893_456_000_000);
        let entropy = SeededEntropy::new(9);
        let make = |alg| {
            generate(KeyKind { algorithm: alg, rsa_bits: 2048 }, KeyState::Active, sealing.in_use(), &entropy, now)
                .unwrap()
        };
        let ring = Keyring::open(Algorithm::ALL.map(make).to_vec(), Vec::new(), &sealing).unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&ring.jwks).unwrap();
        for key in parsed["keys"].as_array().unwrap() {
            for private in ["d", "p", "q", "dp", "dq", "qi", "k", "priv"] {
                assert!(key.get(private).is_none(), "{private}");
            }
            assert_eq!(key["use"], "sig");
        }
        let claims = AccessClaims {
            iss: "https://issuer",
            sub: "ada",
            aud: "api",
            client_id: "app",
            iat: now.seconds(),
            exp: now.seconds() + 60,
            jti: "x",
            sid: None,
            scope: "",
            entitlements: &[],
            roles: &[],
            auth_time: None,
            amr: &[],
            acr: None,
            status: None,
            extra: &Map::new(),
        };
        for algorithm in Algorithm::ALL {
            let token = ring.signing(algorithm).unwrap().sign(&claims).unwrap();
            let policy = chancery_verify::Policy::new("https://issuer", "api");
            let checked = chancery_verify::check(token.expose(), &ring.verifying, &policy, now.millis());
            assert_eq!(checked.unwrap().subject, "ada", "{algorithm}");
        }
    }

    #[test]
    fn the_order_of_the_published_set_does_not_depend_on_the_order_of_the_rows() {
        let sealing = SealingKeys::from(SealingKey::new(&Zeroizing::new([1; 32])));
        let now = Timestamp::from_millis(1_893_456_000_000);
        let entropy = SeededEntropy::new(9);
        let states = [KeyState::Retired, KeyState::Next, KeyState::Active];
        // All were made in the same millisecond, two of each kind.
        let mut keys: Vec<_> = [states, states]
            .concat()
            .into_iter()
            .flat_map(|state| Algorithm::ALL.map(|alg| (KeyKind { algorithm: alg, rsa_bits: 2048 }, state)))
            .map(|(kind, state)| generate(kind, state, sealing.in_use(), &entropy, now).unwrap())
            .collect();
        let first = Keyring::open(keys.clone(), Vec::new(), &sealing).unwrap();
        let order: Vec<_> = first.stored.iter().map(|k| (k.state, k.algorithm)).collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(order, sorted);
        assert_eq!(order.first(), Some(&(KeyState::Active, Algorithm::Rs256)));
        for _ in 0..keys.len() {
            keys.rotate_left(1);
            assert_eq!(Keyring::open(keys.clone(), Vec::new(), &sealing).unwrap().etag, first.etag);
        }
        keys.reverse();
        assert_eq!(Keyring::open(keys, Vec::new(), &sealing).unwrap().etag, first.etag);
    }
}
