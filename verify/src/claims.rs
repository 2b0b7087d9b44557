//! What a verified token says.

use serde_json::{Map, Value};

use crate::jws::Members;

/// The claims of an access token (RFC 9068 §2.2). Instants are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Claims {
    /// `iss`.
    pub issuer: String,
    /// `sub`: a user's subject, or the client's own id.
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
    /// `sid`: the session, in users' tokens.
    pub session_id: Option<String>,
    /// `scope`, taken apart.
    pub scopes: Vec<String>,
    /// `entitlements`: the permissions at this audience.
    pub entitlements: Vec<String>,
    /// `roles`.
    pub roles: Vec<String>,
    /// `auth_time`.
    pub auth_time_ms: Option<i64>,
    /// `amr`.
    pub amr: Vec<String>,
    /// `acr`.
    pub acr: Option<String>,
    /// The key that signed it.
    pub key_id: String,
    /// Everything else.
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

/// Takes claims out of an object, minding their types: a claim of the wrong type is never an absent one.
pub(crate) struct Reader<'a>(pub(crate) Members<'a>);

pub(crate) type Wrong = &'static str;

impl Reader<'_> {
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, Wrong> {
        match self.0.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(name),
        }
    }

    pub(crate) fn required_text(&mut self, name: &'static str) -> Result<String, Wrong> {
        self.text(name)?.filter(|t| !t.is_empty()).ok_or(name)
    }

    /// A `NumericDate` (RFC 7519 §2) in milliseconds: finite, not negative, at most 2^53.
    pub(crate) fn date(&mut self, name: &'static str) -> Result<Option<i64>, Wrong> {
        let Some(value) = self.0.take(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|_| value.is_number()).ok_or(name)?;
        if !(0.0..=9_007_199_254_740_992.0).contains(&seconds) {
            return Err(name);
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 2^53 seconds, checked above, fit in 2^63 ms")]
        let ms = (seconds * 1000.0) as i64;
        Ok(Some(ms))
    }

    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, Wrong> {
        match self.0.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.into_iter().map(|v| text(v).ok_or(name)).collect(),
            Some(_) => Err(name),
        }
    }

    /// `aud` is a string or a list of at least one (RFC 7519 §4.1.3).
    pub(crate) fn audience(&mut self) -> Result<Vec<String>, Wrong> {
        if self.0.get("aud").is_some_and(Value::is_string) {
            return Ok(vec![self.required_text("aud")?]);
        }
        self.texts("aud").and_then(|list| if list.is_empty() { Err("aud") } else { Ok(list) })
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}
