//! The claims of a verified token.

use serde_json::{Map, Value};

use crate::jws::Members;

/// The claims of an access token (RFC 9068 §2.2). Times are in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Claims {
    /// `iss`.
    pub issuer: String,
    /// `sub`: the user's subject, or the client's id in a client's own token.
    pub subject: String,
    /// `aud`.
    pub audience: Vec<String>,
    /// `client_id`.
    pub client_id: String,
    /// `exp`.
    pub expires_at_ms: i64,
    /// `iat`.
    pub issued_at_ms: i64,
    /// `jti`.
    pub token_id: String,
    /// `sid`: the session; absent from a client's own token.
    pub session_id: Option<String>,
    /// `scope`, split at spaces.
    pub scopes: Vec<String>,
    /// `entitlements`: the permissions the token grants at this audience.
    pub entitlements: Vec<String>,
    /// `roles`.
    pub roles: Vec<String>,
    /// `auth_time`.
    pub auth_time_ms: Option<i64>,
    /// `amr`.
    pub amr: Vec<String>,
    /// `acr`.
    pub acr: Option<String>,
    /// The `kid` of the key that signed the token.
    pub key_id: String,
    /// All other claims.
    pub extra: Map<String, Value>,
}

impl Claims {
    /// Whether the scope was granted.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|s| s == scope)
    }

    /// Whether the permission was granted at this audience.
    #[must_use]
    pub fn has_permission(&self, permission: &str) -> bool {
        self.entitlements.iter().any(|p| p == permission)
    }
}

/// Takes claims out of an object and checks their types. A claim of the wrong type is an error, never treated
/// as absent.
pub(crate) struct ClaimReader<'a>(pub(crate) Members<'a>);

/// The name of the claim that is wrong.
pub(crate) type InvalidClaim = &'static str;

impl ClaimReader<'_> {
    pub(crate) fn string(&mut self, name: &'static str) -> Result<Option<String>, InvalidClaim> {
        match self.0.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(name),
        }
    }

    pub(crate) fn required_string(&mut self, name: &'static str) -> Result<String, InvalidClaim> {
        self.string(name)?.filter(|t| !t.is_empty()).ok_or(name)
    }

    /// A `NumericDate` (RFC 7519 §2) in milliseconds: finite, not negative, at most 2^53.
    pub(crate) fn date(&mut self, name: &'static str) -> Result<Option<i64>, InvalidClaim> {
        let Some(value) = self.0.take(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|_| value.is_number()).ok_or(name)?;
        if !(0.0..=9_007_199_254_740_992.0).contains(&seconds) {
            return Err(name);
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 2^53 seconds, checked above, fit in 2^63 ms")]
        let ms = (seconds * 1000.0) as i64;
        Ok(Some(ms))
    }

    pub(crate) fn strings(&mut self, name: &'static str) -> Result<Vec<String>, InvalidClaim> {
        match self.0.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.into_iter().map(|v| into_string(v).ok_or(name)).collect(),
            Some(_) => Err(name),
        }
    }

    /// `aud`: a string, or a list with at least one string (RFC 7519 §4.1.3).
    pub(crate) fn audience(&mut self) -> Result<Vec<String>, InvalidClaim> {
        if self.0.get("aud").is_some_and(Value::is_string) {
            return Ok(vec![self.required_string("aud")?]);
        }
        self.strings("aud").and_then(|list| if list.is_empty() { Err("aud") } else { Ok(list) })
    }
}

fn into_string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}
