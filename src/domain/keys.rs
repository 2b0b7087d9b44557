//! Signing keys: their states, and how long each state lasts.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::settings::{JWKS_MAX_AGE, JWKS_STALE_IF_ERROR, SKEW, Settings};
use crate::{
    id::KeyId,
    time::{Timestamp, Ttl},
};

/// The algorithm of a key; each key has exactly one (RFC 8725 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519, under the name that current libraries know.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The JOSE name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|a| a.as_str() == text);
        found.or((text == "Ed25519").then_some(Self::EdDsa)).ok_or_else(|| "must be RS256, ES256 or EdDSA".to_owned())
    }
}

/// The stages in a key's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyState {
    /// Signs tokens.
    Active,
    /// Published, but not signing yet.
    Next,
    /// Published, but not signing any more.
    Retired,
}

impl KeyState {
    /// The name in the database and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Next => "next",
            Self::Retired => "retired",
        }
    }
}

impl FromStr for KeyState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Active, Self::Next, Self::Retired].into_iter().find(|s| s.as_str() == text);
        found.ok_or_else(|| format!("unknown key state {text:?}"))
    }
}

/// A signing key as stored in the database; the private part is sealed.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// The id.
    pub id: KeyId,
    /// RFC 7638 thumbprint of the public key.
    pub kid: String,
    /// The one algorithm it is used with.
    pub algorithm: Algorithm,
    /// The state.
    pub state: KeyState,
    /// The public JWK, as published.
    pub public_jwk: serde_json::Value,
    /// The sealed PKCS#8 private key.
    pub sealed: Vec<u8>,
    /// The version of the sealing key.
    pub sealing_version: i64,
    /// When it was created and published.
    pub created_at: Timestamp,
    /// When it started signing.
    pub activated_at: Option<Timestamp>,
    /// When it stopped signing.
    pub retired_at: Option<Timestamp>,
    /// When an active key is to be replaced by the next one.
    pub rotate_at: Option<Timestamp>,
}

/// A public key of another issuer. It is published so that tokens signed with it stay valid until they expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// The key id in tokens.
    pub kid: String,
    /// The public JWK, as published.
    pub public_jwk: serde_json::Value,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it stops being published.
    pub expires_at: Timestamp,
}

impl ForeignKey {
    /// The JOSE name of its algorithm, which need not be one that this server uses.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        self.public_jwk.get("alg").and_then(serde_json::Value::as_str).unwrap_or_default()
    }
}

/// How long a key is published before it signs: long enough for every cache to have fetched it, twice over.
pub const PUBLISH_AHEAD: Ttl = JWKS_MAX_AGE.plus(JWKS_STALE_IF_ERROR).times(2).plus(SKEW);

/// How long a key that stops signing at `now` stays published: until the last token it signed has expired.
#[must_use]
pub fn retirement_period(settings: &Settings, now: Timestamp) -> Ttl {
    settings.waiting_ceiling(now).plus(settings.confirm_within).plus(SKEW)
}

/// A step in the rotation of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStep {
    /// Create a `next` key for this algorithm.
    Create(Algorithm),
    /// Let the `next` key replace the active one, if there is one.
    Activate {
        /// The algorithm.
        algorithm: Algorithm,
        /// The key that starts signing.
        next: KeyId,
        /// The key that stops signing.
        active: Option<KeyId>,
    },
    /// Delete a retired key: the last token it signed has expired.
    Remove(KeyId),
    /// Delete the key of another issuer with this `kid`: it has expired.
    Forget(String),
}

/// The steps that are due at `now`. Each is carried out on its own, by compare-and-swap.
#[must_use]
pub fn due(keys: &[StoredKey], foreign: &[ForeignKey], settings: &Settings, now: Timestamp) -> Vec<KeyStep> {
    let mut steps = Vec::new();
    for algorithm in Algorithm::ALL {
        let find = |state| keys.iter().find(|k| k.algorithm == algorithm && k.state == state);
        let (active, next) = (find(KeyState::Active), find(KeyState::Next));
        let Some(next) = next else {
            steps.push(KeyStep::Create(algorithm));
            continue;
        };
        let ready = now >= next.created_at.plus(PUBLISH_AHEAD);
        let wanted = active.is_none_or(|k| k.rotate_at.is_none_or(|at| now >= at));
        if ready && wanted {
            steps.push(KeyStep::Activate { algorithm, next: next.id.clone(), active: active.map(|k| k.id.clone()) });
        }
    }
    let gone = |k: &&StoredKey| k.retired_at.is_some_and(|at| now >= at.plus(retirement_period(settings, now)));
    steps.extend(
        keys.iter().filter(|k| k.state == KeyState::Retired).filter(gone).map(|k| KeyStep::Remove(k.id.clone())),
    );
    steps.extend(foreign.iter().filter(|k| now >= k.expires_at).map(|k| KeyStep::Forget(k.kid.clone())));
    steps
}
