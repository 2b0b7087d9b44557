//! Signing keys: their states and the waits between them.

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
    /// Ed25519, under the name that today's libraries know.
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

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyState {
    /// Signs.
    Active,
    /// Published, not yet signing.
    Next,
    /// Published, no longer signing.
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

/// A signing key as the database keeps it; the private part is sealed.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// The id.
    pub id: KeyId,
    /// RFC 7638 thumbprint of the public key.
    pub kid: String,
    /// Its one algorithm.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub state: KeyState,
    /// The public JWK, as published.
    pub public_jwk: serde_json::Value,
    /// The sealed PKCS#8 private key.
    pub sealed: Vec<u8>,
    /// The sealing key's version.
    pub sealing_version: i64,
    /// When it was created, and so published.
    pub created_at: Timestamp,
    /// When it began to sign.
    pub activated_at: Option<Timestamp>,
    /// When it ceased to sign.
    pub retired_at: Option<Timestamp>,
    /// For an active key: when its successor is to take over.
    pub rotate_at: Option<Timestamp>,
}

/// A public key of another issuer, published so that the tokens it signed live out their time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// The name by which tokens know it.
    pub kid: String,
    /// The public JWK, as published.
    pub public_jwk: serde_json::Value,
    /// When it came.
    pub created_at: Timestamp,
    /// Until when it is published.
    pub expires_at: Timestamp,
}

impl ForeignKey {
    /// Its one algorithm, by the JOSE name; that of another issuer need not be among ours.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        self.public_jwk.get("alg").and_then(serde_json::Value::as_str).unwrap_or_default()
    }
}

/// How long a key must have been published before it signs: every cache must have met it, twice over.
pub const PUBLISH_AHEAD: Ttl = JWKS_MAX_AGE.plus(JWKS_STALE_IF_ERROR).times(2).plus(SKEW);

/// How long a key stays published after it ceased to sign at `now`: until its last token is dead.
#[must_use]
pub fn retire_for(settings: &Settings, now: Timestamp) -> Ttl {
    settings.waiting_ceiling(now).plus(settings.confirm_within).plus(SKEW)
}

/// One step that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStep {
    /// Make a `next` key for the algorithm.
    Create(Algorithm),
    /// The `next` key takes over from the active one, if there is one.
    Activate {
        /// The algorithm.
        algorithm: Algorithm,
        /// The key that begins to sign.
        next: KeyId,
        /// The key that ceases to.
        active: Option<KeyId>,
    },
    /// A retired key has outlived its last token.
    Remove(KeyId),
    /// A key of another issuer, by its `kid`, has outlived its time.
    Forget(String),
}

/// What is due at `now`. Steps are carried out one by one, each by compare-and-swap.
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
    let gone = |k: &&StoredKey| k.retired_at.is_some_and(|at| now >= at.plus(retire_for(settings, now)));
    steps.extend(
        keys.iter().filter(|k| k.state == KeyState::Retired).filter(gone).map(|k| KeyStep::Remove(k.id.clone())),
    );
    steps.extend(foreign.iter().filter(|k| now >= k.expires_at).map(|k| KeyStep::Forget(k.kid.clone())));
    steps
}
