//! The check: a pure function of token, keys, policy and time.

use std::time::Duration;

use crate::{
    claims::{Claims, Reader},
    jws::{self, Parsed},
    keys::{Algorithm, KeySet},
};

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is no compact JWS of the strict form.
    #[error("malformed token: {0}")]
    Malformed(&'static str),
    /// It is a token of another kind.
    #[error("not an access token")]
    WrongType,
    /// Its algorithm is not allowed, or not its key's.
    #[error("algorithm not allowed")]
    Algorithm,
    /// No key of the issuer has this `kid`.
    #[error("unknown key")]
    UnknownKey {
        /// The `kid`.
        kid: String,
    },
    /// The signature is wrong.
    #[error("wrong signature")]
    Signature,
    /// A claim is missing or has the wrong type.
    #[error("claim {0} is missing or has the wrong type")]
    Claim(&'static str),
    /// It is from another issuer.
    #[error("wrong issuer")]
    Issuer,
    /// It is for another audience.
    #[error("wrong audience")]
    Audience,
    /// It has ended.
    #[error("expired")]
    Expired,
    /// It is from the future.
    #[error("not yet valid")]
    NotYetValid,
    /// The issuer's keys cannot be fetched, and none are at hand.
    #[error("the issuer's keys are unavailable")]
    KeysUnavailable {
        /// What the last attempt to read them met. For logs: callers need not know of addresses.
        reason: String,
    },
    /// Its session, its client or its key was revoked.
    #[error("revoked")]
    Revoked,
    /// What is revoked is not known, or not known any more.
    #[error("it is not known what is revoked")]
    RevocationsUnknown,
}

impl VerifyError {
    /// Whether the same token may be good a moment later: the trouble is not the token's. A service answers
    /// 503 or UNAVAILABLE then, never 401, which would send its user to sign in again.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::KeysUnavailable { .. } | Self::RevocationsUnknown)
    }
}

/// What a token must meet.
#[derive(Clone, Debug)]
pub struct Policy {
    issuer: String,
    audiences: Vec<String>,
    leeway_ms: i64,
    algorithms: Vec<Algorithm>,
}

impl Policy {
    /// Tokens of this issuer for this audience, with no leeway.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: vec![audience.into()],
            leeway_ms: 0,
            algorithms: Algorithm::ALL.to_vec(),
        }
    }

    /// Accepts another audience too.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Allows for clocks that differ, by at most a minute.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway_ms = i64::try_from(leeway.as_millis()).unwrap_or(i64::MAX).min(60_000);
        self
    }

    /// Accepts these algorithms only.
    #[must_use]
    pub fn algorithms(mut self, algorithms: &[Algorithm]) -> Self {
        self.algorithms = algorithms.to_vec();
        self
    }

    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the fetching verifier asks"))]
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }
}

/// Checks an access token at the instant `now_ms`, in milliseconds since the Unix epoch.
///
/// # Errors
/// The first thing that is wrong, cheapest first; nothing is read from the claims before the signature
/// is good.
pub fn check(token: &str, keys: &KeySet, policy: &Policy, now_ms: i64) -> Result<Claims, VerifyError> {
    let token = genuine(token, keys, policy)?;
    accept(&token.claims, token.not_before_ms, policy, now_ms)?;
    Ok(token.claims)
}

/// An access token that one of the keys has signed; whether it is good now is another question.
#[derive(Debug)]
pub(crate) struct Genuine {
    pub(crate) claims: Claims,
    pub(crate) not_before_ms: Option<i64>,
}

/// The part of the check that does not change with time.
pub(crate) fn genuine(token: &str, keys: &KeySet, policy: &Policy) -> Result<Genuine, VerifyError> {
    let parsed = jws::parse(token).map_err(VerifyError::Malformed)?;
    if !is_access_token(parsed.typ.as_deref()) {
        return Err(VerifyError::WrongType);
    }
    signed_by(keys, &parsed, &policy.algorithms)?;
    let payload = parsed.payload().map_err(VerifyError::Malformed)?;
    let mut reader = Reader(jws::members(&payload).map_err(VerifyError::Malformed)?);
    let not_before_ms = reader.date("nbf").map_err(VerifyError::Claim)?;
    let claims = read(reader, parsed.kid).map_err(VerifyError::Claim)?;
    Ok(Genuine { claims, not_before_ms })
}

/// Whether one of the keys has signed it, by the key's own algorithm (RFC 8725 §3.1) and one that is allowed.
pub(crate) fn signed_by(keys: &KeySet, parsed: &Parsed<'_>, allowed: &[Algorithm]) -> Result<(), VerifyError> {
    let algorithm = Algorithm::from_name(&parsed.alg).filter(|a| allowed.contains(a));
    let algorithm = algorithm.ok_or(VerifyError::Algorithm)?;
    let key = keys.get(&parsed.kid).ok_or_else(|| VerifyError::UnknownKey { kid: parsed.kid.clone() })?;
    if key.algorithm != algorithm {
        return Err(VerifyError::Algorithm);
    }
    if key.verifies(parsed.signed, &parsed.signature) { Ok(()) } else { Err(VerifyError::Signature) }
}

/// `at+jwt`, with or without `application/`, in any case (RFC 9068 §4, RFC 7515 §4.1.9).
fn is_access_token(typ: Option<&str>) -> bool {
    typ.is_some_and(|typ| ["at+jwt", "application/at+jwt"].iter().any(|t| typ.eq_ignore_ascii_case(t)))
}

fn read(mut r: Reader<'_>, key_id: String) -> Result<Claims, &'static str> {
    Ok(Claims {
        issuer: r.required_text("iss")?,
        subject: r.required_text("sub")?,
        audience: r.audience()?,
        client_id: r.required_text("client_id")?,
        expires_at_ms: r.date("exp")?.ok_or("exp")?,
        issued_at_ms: r.date("iat")?.ok_or("iat")?,
        token_id: r.required_text("jti")?,
        session_id: r.text("sid")?,
        scopes: r.text("scope")?.unwrap_or_default().split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
        entitlements: r.texts("entitlements")?,
        roles: r.texts("roles")?,
        auth_time_ms: r.date("auth_time")?,
        amr: r.texts("amr")?,
        acr: r.text("acr")?,
        key_id,
        extra: r.0.rest(),
    })
}

/// The part that does.
pub(crate) fn accept(
    claims: &Claims,
    not_before: Option<i64>,
    policy: &Policy,
    now_ms: i64,
) -> Result<(), VerifyError> {
    if claims.issuer != policy.issuer {
        return Err(VerifyError::Issuer);
    }
    if !claims.audience.iter().any(|a| policy.audiences.contains(a)) {
        return Err(VerifyError::Audience);
    }
    if now_ms >= claims.expires_at_ms.saturating_add(policy.leeway_ms) {
        return Err(VerifyError::Expired);
    }
    let latest = now_ms.saturating_add(policy.leeway_ms);
    // An issuer whose clock is a fraction ahead stamps whole seconds: `iat` alone gets the full minute.
    let iat_latest = now_ms.saturating_add(policy.leeway_ms.max(60_000));
    if not_before.is_some_and(|nbf| nbf > latest) || claims.issued_at_ms > iat_latest {
        return Err(VerifyError::NotYetValid);
    }
    Ok(())
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;
