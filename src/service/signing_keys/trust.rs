//! Temporary publication of other issuers' public keys.

use serde_json::{Value, json};

use super::SigningKeys;
use crate::{
    domain::{audit::AuditKind, feed::ChangeKind, keys::ForeignKey},
    error::{Error, Result},
    keys::{LeftOut, read_foreign_keys},
    service::access::Admin,
    time::{Timestamp, Ttl},
};

/// Maximum keys of other issuers at once: every verifier fetches them all.
const MAX_FOREIGN_KEYS: usize = 16;
/// Maximum time for which such a key is published.
const MAX_LIFETIME: Ttl = Ttl::from_days(366);

/// A key as text, with details that the text may lack.
#[derive(Clone, Copy, Debug)]
pub struct ForeignKeyText<'a> {
    /// A JWKS, a JWK or PEM.
    pub text: &'a str,
    /// Its `kid`, if the text does not contain it.
    pub kid: Option<&'a str>,
    /// Its algorithm, if the text does not contain it.
    pub alg: Option<&'a str>,
}

/// What was published.
#[derive(Debug)]
pub struct TrustedKeys {
    /// The keys now published.
    pub published: Vec<ForeignKey>,
    /// The keys that were left out.
    pub left_out: Vec<LeftOut>,
}

impl SigningKeys {
    /// Publishes another issuer's public keys until `until`. This server neither signs with them nor accepts tokens
    /// signed by them. Publishing a key again replaces its expiry. Keys that are not for signatures or not known are
    /// left out.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the text, a key or the expiry is not acceptable.
    pub async fn trust(&self, admin: &Admin, text: ForeignKeyText<'_>, until: Timestamp) -> Result<TrustedKeys> {
        let found = read_foreign_keys(text.text, text.kid, text.alg)
            .map_err(|wrong| Error::invalid(wrong.field, wrong.problem))?;
        self.live.confirm().await?;
        let now = self.live.now();
        if until <= now || until > now.plus(MAX_LIFETIME) {
            return Err(Error::invalid("until", "must be in the future, at most a year ahead"));
        }
        let keys: Vec<ForeignKey> = found.usable.into_iter().map(|jwk| foreign_key(jwk, now, until)).collect();
        self.check_foreign(&keys)?;
        let mut tx = admin.write(&self.store, &self.live).await?;
        for key in &keys {
            if !tx.foreign_key_put(key).await? {
                return Err(Error::invalid("kid", format!("{:?} belongs to another key", key.kid)));
            }
            let details = json!({ "until": until.to_string(), "alg": key.algorithm() });
            tx.audit(now, AuditKind::KeyTrusted, &admin.actor, &key.kid, details).await?;
        }
        tx.change(self.live.change(ChangeKind::Keys, "trust", now));
        self.live.commit(tx).await?;
        Ok(TrustedKeys { published: keys, left_out: found.left_out })
    }

    fn check_foreign(&self, keys: &[ForeignKey]) -> Result<()> {
        let snapshot = self.live.snapshot();
        let ring = &snapshot.ring;
        let new = keys.iter().filter(|k| !ring.foreign.iter().any(|f| f.kid == k.kid)).count();
        if ring.foreign.len() + new > MAX_FOREIGN_KEYS {
            return Err(Error::invalid(
                "key",
                format!("at most {MAX_FOREIGN_KEYS} keys of other issuers can be published at once"),
            ));
        }
        for (at, key) in keys.iter().enumerate() {
            let problem = if ring.stored.iter().any(|own| own.kid == key.kid) {
                "belongs to a key of this server"
            } else if snapshot.revoked_keys.contains_key(&key.kid) {
                "belongs to a revoked key"
            } else if keys.iter().take(at).any(|before| before.kid == key.kid) {
                "appears twice"
            } else {
                continue;
            };
            return Err(Error::invalid("kid", format!("{:?} {problem}", key.kid)));
        }
        Ok(())
    }
}

fn foreign_key(public_jwk: Value, now: Timestamp, until: Timestamp) -> ForeignKey {
    let kid = public_jwk.get("kid").and_then(Value::as_str).unwrap_or_default().to_owned();
    ForeignKey { kid, public_jwk, created_at: now, expires_at: until }
}
