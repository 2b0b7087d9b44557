//! Checks an access token: a pure function of token, keys, policy and time.

use std::time::Duration;

use crate::{
    claims::{ClaimReader, Claims},
    json,
    jws::{self, UnverifiedJws},
    keys::{Algorithm, KeySet},
};

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is not a well-formed compact JWS.
    #[error("malformed token: {0}")]
    Malformed(&'static str),
    /// It is not an access token.
    #[error("not an access token")]
    WrongType,
    /// Its algorithm is not allowed, or is not that of the key.
    #[error("algorithm not allowed")]
    Algorithm,
    /// The issuer has no key with this `kid`.
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
    /// It was issued by another issuer.
    #[error("wrong issuer")]
    Issuer,
    /// It is for another audience.
    #[error("wrong audience")]
    Audience,
    /// It has expired.
    #[error("expired")]
    Expired,
    /// It is not valid yet.
    #[error("not yet valid")]
    NotYetValid,
    /// The issuer's keys cannot be fetched, and none are cached.
    #[error("the issuer's keys are unavailable")]
    KeysUnavailable {
        /// Why the last fetch failed. Meant for logs: it may hold addresses that callers should not see.
        reason: String,
    },
    /// It is a guest's, who has not signed in.
    #[error("a guest's")]
    Guest,
    /// Its session, its client or its key was revoked.
    #[error("revoked")]
    Revoked,
    /// What is revoked is unknown, or no longer known.
    #[error("revocation status is unknown")]
    RevocationsUnknown,
}

impl VerifyError {
    /// Whether the same token may be accepted a moment later, because the token is not at fault. A service must
    /// then answer 503 or UNAVAILABLE, never 401: that would make the user sign in again.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::KeysUnavailable { .. } | Self::RevocationsUnknown)
    }
}

/// What a token must satisfy.
#[derive(Clone, Debug)]
pub struct Policy {
    issuer: String,
    audiences: Vec<String>,
    leeway_ms: i64,
    algorithms: Vec<Algorithm>,
    guests: bool,
}

impl Policy {
    /// Accepts tokens from this issuer for this audience, with no leeway.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: vec![audience.into()],
            leeway_ms: 0,
            algorithms: Algorithm::ALL.to_vec(),
            guests: false,
        }
    }

    /// Also accepts another audience.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Tolerates this much clock skew, at most one minute.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway_ms = i64::try_from(leeway.as_millis()).unwrap_or(i64::MAX).min(60_000);
        self
    }

    /// Accepts only these algorithms.
    #[must_use]
    pub fn algorithms(mut self, algorithms: &[Algorithm]) -> Self {
        self.algorithms = algorithms.to_vec();
        self
    }

    /// Whether tokens of guests are accepted, who have a session but have not signed in: not by default. Ask
    /// [`Claims::is_guest`] which ones are.
    #[must_use]
    pub fn allow_guests(mut self, allow: bool) -> Self {
        self.guests = allow;
        self
    }

    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "used only by `Verifier`"))]
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether an audience has no name.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "used only by `Verifier`"))]
    pub(crate) fn has_empty_audience(&self) -> bool {
        self.audiences.iter().any(|audience| audience.trim().is_empty())
    }
}

/// Checks an access token at the instant `now_ms`, in milliseconds since the Unix epoch.
///
/// # Errors
/// The first problem found; cheap checks come first. No claim is read before the signature is verified.
pub fn check(token: &str, keys: &KeySet, policy: &Policy, now_ms: i64) -> Result<Claims, VerifyError> {
    let token = read_signed(token, keys, policy)?;
    check_claims(&token.claims, token.not_before_ms, policy, now_ms)?;
    Ok(token.claims)
}

/// An access token with a valid signature. Policy and time are not checked yet.
#[derive(Debug)]
pub(crate) struct SignedToken {
    pub(crate) claims: Claims,
    pub(crate) not_before_ms: Option<i64>,
}

/// The part of the check that does not depend on the time.
pub(crate) fn read_signed(token: &str, keys: &KeySet, policy: &Policy) -> Result<SignedToken, VerifyError> {
    let parsed = jws::parse(token).map_err(VerifyError::Malformed)?;
    if !is_access_token(parsed.typ.as_deref()) {
        return Err(VerifyError::WrongType);
    }
    verify_signature(keys, &parsed, &policy.algorithms)?;
    let payload = parsed.payload().map_err(VerifyError::Malformed)?;
    let mut reader = ClaimReader(json::members(&payload).map_err(VerifyError::Malformed)?);
    let not_before_ms = reader.date("nbf").map_err(VerifyError::Claim)?;
    let claims = read_claims(reader, parsed.kid, &payload).map_err(VerifyError::Claim)?;
    Ok(SignedToken { claims, not_before_ms })
}

/// Checks the signature. The algorithm must be the key's own (RFC 8725 §3.1) and must be allowed.
pub(crate) fn verify_signature(
    keys: &KeySet,
    parsed: &UnverifiedJws<'_>,
    allowed: &[Algorithm],
) -> Result<(), VerifyError> {
    let algorithm = Algorithm::from_name(&parsed.alg).filter(|a| allowed.contains(a));
    let algorithm = algorithm.ok_or(VerifyError::Algorithm)?;
    let key = keys.get(&parsed.kid).ok_or_else(|| VerifyError::UnknownKey { kid: parsed.kid.clone() })?;
    if key.algorithm != algorithm {
        return Err(VerifyError::Algorithm);
    }
    if key.verifies(parsed.signed, &parsed.signature) { Ok(()) } else { Err(VerifyError::Signature) }
}

/// Whether `typ` is `at+jwt`, with or without `application/`, in any case (RFC 9068 §4, RFC 7515 §4.1.9).
fn is_access_token(typ: Option<&str>) -> bool {
    typ.is_some_and(|typ| ["at+jwt", "application/at+jwt"].iter().any(|t| typ.eq_ignore_ascii_case(t)))
}

fn read_claims(mut r: ClaimReader<'_>, key_id: String, payload: &[u8]) -> Result<Claims, &'static str> {
    Ok(Claims {
        issuer: r.required_string("iss")?,
        subject: r.required_string("sub")?,
        audience: r.audience()?,
        client_id: r.required_string("client_id")?,
        expires_at_ms: r.date("exp")?.ok_or("exp")?,
        issued_at_ms: r.date("iat")?.ok_or("iat")?,
        token_id: r.required_string("jti")?,
        session_id: r.string("sid")?,
        scopes: r
            .string("scope")?
            .unwrap_or_default()
            .split(' ')
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
            .collect(),
        entitlements: r.strings("entitlements")?,
        roles: r.strings("roles")?,
        auth_time_ms: r.date("auth_time")?,
        amr: r.strings("amr")?,
        acr: r.string("acr")?,
        key_id,
        status: r.status(),
        extra: r.rest(payload),
    })
}

/// The part of the check that depends on the policy and the time.
pub(crate) fn check_claims(
    claims: &Claims,
    not_before_ms: Option<i64>,
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
    // `iat` is in whole seconds and the issuer's clock may run ahead, so `iat` always gets at least a minute of
    // leeway.
    let iat_latest = now_ms.saturating_add(policy.leeway_ms.max(60_000));
    if not_before_ms.is_some_and(|nbf| nbf > latest) || claims.issued_at_ms > iat_latest {
        return Err(VerifyError::NotYetValid);
    }
    if claims.is_guest() && !policy.guests {
        return Err(VerifyError::Guest);
    }
    Ok(())
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;
