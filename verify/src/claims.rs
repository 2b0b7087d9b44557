//! The claims of a verified token.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    json::{self, Members},
    weight,
};

/// The `acr` of guests.
const GUEST: &str = "0";

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
    pub extra: ExtraClaims,
    /// The token's place in a status list, from the claim `status`, which is in `extra` too.
    pub(crate) status: Option<StatusReference>,
}

/// A token's place in a status list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StatusReference {
    pub(crate) index: u64,
    pub(crate) uri: String,
}

impl StatusReference {
    /// Reads a `status` claim; `None` if it refers to no list.
    pub(crate) fn of(status: &Value) -> Option<Self> {
        let list = status.get("status_list")?;
        Some(Self { index: list.get("idx")?.as_u64()?, uri: list.get("uri")?.as_str()?.to_owned() })
    }
}

impl Claims {
    /// Whether the scope was granted.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|s| s == scope)
    }

    /// Whether it is a guest's: somebody with a session who has not signed in (`acr` is `0`). Verifiers refuse guests unless
    /// they are told to accept them.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.acr.as_deref() == Some(GUEST)
    }

    /// Whether the permission was granted at this audience.
    #[must_use]
    pub fn has_permission(&self, permission: &str) -> bool {
        self.entitlements.iter().any(|p| p == permission)
    }

    /// The claim with this name, which [`Claims`] has no field for, as a type of your own; `None` if the token does not
    /// have it, or if it is `null`.
    ///
    /// ```
    /// # fn example(claims: &chancery_verify::Claims) -> Result<(), chancery_verify::ClaimError> {
    /// let tier: Option<String> = claims.get("tier")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The claim has another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ClaimError> {
        let value = self.extra.get(name).unwrap_or_default();
        serde_json::from_value(value).map_err(|e| ClaimError { name: name.to_owned(), reason: e.to_string() })
    }

    /// All claims that [`Claims`] has no field for, as a struct of your own.
    ///
    /// ```
    /// #[derive(serde::Deserialize)]
    /// struct Custom {
    ///     tier: String,
    ///     #[serde(default)]
    ///     beta: bool,
    /// }
    ///
    /// # fn example(claims: &chancery_verify::Claims) -> Result<(), chancery_verify::ClaimError> {
    /// let custom: Custom = claims.extra_as()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A claim is missing or has another type.
    pub fn extra_as<T: DeserializeOwned>(&self) -> Result<T, ClaimError> {
        let all = Value::Object(self.extra.to_map());
        serde_json::from_value(all).map_err(|e| ClaimError { name: String::new(), reason: e.to_string() })
    }
}

/// Why a claim cannot be read as a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimError {
    name: String,
    reason: String,
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.name {
            "" => write!(f, "the claims do not have the expected types: {}", self.reason),
            name => write!(f, "claim {name} does not have the expected type: {}", self.reason),
        }
    }
}

impl std::error::Error for ClaimError {}

impl Claims {
    /// The memory that these claims occupy, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.issuer, &self.subject, &self.client_id, &self.token_id, &self.key_id];
        let optional = [&self.session_id, &self.acr].into_iter().flatten();
        let optional = optional.chain(self.status.as_ref().map(|s| &s.uri));
        let lists = [&self.audience, &self.scopes, &self.entitlements, &self.roles, &self.amr];
        let heap = texts.into_iter().chain(optional).map(weight::string).sum::<usize>()
            + lists.into_iter().map(weight::strings).sum::<usize>();
        size_of::<Self>() + heap + self.extra.bytes()
    }
}

/// The claims that [`Claims`] has no field for. They are kept as the text they came in, and parsed when they are
/// asked for: parsed, they can take a hundred times the memory.
#[derive(Clone, Default)]
pub struct ExtraClaims {
    /// The whole payload; absent if there are no such claims.
    payload: Option<Arc<str>>,
    count: usize,
}

impl ExtraClaims {
    /// The claims of a payload that were not taken. The payload must be the text that they were parsed from.
    fn of(payload: &[u8], left: &Members<'_>) -> Self {
        let text = std::str::from_utf8(payload).ok().filter(|_| left.len() > 0);
        Self { payload: text.map(Arc::from), count: left.len() }
    }

    /// The claim with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        if FIELDS.contains(&name) { None } else { self.members()?.take(name) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        let Some(mut members) = self.members() else { return Map::new() };
        for name in FIELDS {
            members.take(name);
        }
        members.into_remaining()
    }

    fn members(&self) -> Option<Members<'_>> {
        // It was parsed before, so this cannot fail.
        json::members(self.payload.as_ref()?.as_bytes()).ok()
    }

    fn bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, |text| weight::block(text.len() + 2 * size_of::<usize>()))
    }
}

impl fmt::Debug for ExtraClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_map().fmt(f)
    }
}

impl Serialize for ExtraClaims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_map().serialize(serializer)
    }
}

impl PartialEq for ExtraClaims {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && (self.payload == other.payload || self.to_map() == other.to_map())
    }
}

/// The claims that have a field or that only the check needs.
const FIELDS: [&str; 15] = [
    "iss",
    "sub",
    "aud",
    "client_id",
    "exp",
    "iat",
    "jti",
    "sid",
    "scope",
    "entitlements",
    "roles",
    "auth_time",
    "amr",
    "acr",
    "nbf",
];

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

    /// What was not taken.
    pub(crate) fn rest(&self, payload: &[u8]) -> ExtraClaims {
        ExtraClaims::of(payload, &self.0)
    }

    /// The place in a status list, if there is one. The claim is not taken.
    pub(crate) fn status(&self) -> Option<StatusReference> {
        self.0.get("status").and_then(StatusReference::of)
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

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::testing::TestIssuer;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Plan {
        tier: String,
        seats: u32,
        ratio: f64,
    }

    #[tokio::test]
    async fn further_claims_are_read_as_types_of_ones_own() {
        let issuer = TestIssuer::new("https://i");
        let plan = serde_json::json!({ "tier": "gold", "seats": 7, "ratio": 0.5 });
        let token =
            issuer.token("ada", "api").claim("plan", plan.clone()).claim("tier", "gold").claim("none", Value::Null);
        let claims = issuer.verifier("api").verify(&token.mint()).await.unwrap();
        let gold = Plan { tier: "gold".to_owned(), seats: 7, ratio: 0.5 };
        assert_eq!(claims.get::<Plan>("plan"), Ok(Some(gold)));
        assert_eq!(claims.get::<String>("tier"), Ok(Some("gold".to_owned())));
        assert_eq!(claims.get::<String>("absent"), Ok(None));
        assert_eq!(claims.get::<String>("none"), Ok(None));
        assert_eq!(claims.get::<String>("sub"), Ok(None), "it has a field");
        let error = claims.get::<u32>("tier").unwrap_err().to_string();
        assert!(error.starts_with("claim tier does not have the expected type"), "{error}");

        #[derive(Debug, PartialEq, Deserialize)]
        struct Extra {
            tier: String,
            plan: Value,
        }
        let extra = Extra { tier: "gold".to_owned(), plan };
        assert_eq!(claims.extra_as::<Extra>(), Ok(extra));
        assert!(claims.extra_as::<Plan>().unwrap_err().to_string().contains("seats"));
    }
}
