//! Reads bearer tokens from requests, checks them, and describes refusals as RFC 6750 requires.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{Claims, Verifier, VerifyError};

/// The authentication context class of a user who has signed in.
const SIGNED_IN: &str = "1";

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The request has no bearer token.
    #[error("missing access token: send Authorization: Bearer")]
    NoToken,
    /// The `Authorization` header is malformed, or there is more than one.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The token is not accepted.
    #[error("{0}")]
    InvalidToken(VerifyError),
    /// The token cannot be checked right now.
    #[error("{0}")]
    Unavailable(VerifyError),
    /// The token lacks a required scope. Holds every required scope, separated by spaces, so that a client that
    /// requests exactly these is let in.
    #[error("insufficient scope, required: {0}")]
    MissingScope(String),
    /// The token lacks this permission.
    #[error("the token lacks the required permission {0}")]
    MissingPermission(String),
    /// The user must sign in again, or with a stronger method (RFC 9470).
    #[error("a more recent or stronger sign-in is required")]
    StepUp {
        /// The maximum age of the sign-in, in seconds.
        max_age: Option<u64>,
        /// The accepted authentication context classes; any one of them is enough.
        acr_values: Vec<String>,
    },
}

impl Refusal {
    /// The HTTP status: 400, 401, 403 or 503.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::NoToken | Self::InvalidToken(_) | Self::StepUp { .. } => 401,
            Self::MissingScope(_) | Self::MissingPermission(_) => 403,
            Self::Unavailable(_) => 503,
        }
    }

    /// The error code from RFC 6750 §3.1 or RFC 9470 §3, if there is one.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::BadRequest(_) => Some("invalid_request"),
            Self::InvalidToken(_) => Some("invalid_token"),
            Self::MissingScope(_) | Self::MissingPermission(_) => Some("insufficient_scope"),
            Self::StepUp { .. } => Some("insufficient_user_authentication"),
            // A request without credentials gets no error code (§3.1), and `Unavailable` is not the request's
            // fault.
            Self::NoToken | Self::Unavailable(_) => None,
        }
    }

    /// The value of `WWW-Authenticate`; `None` if the token is not at fault.
    #[must_use]
    pub fn www_authenticate(&self) -> Option<String> {
        let code = match (self, self.code()) {
            (Self::Unavailable(_), _) => return None,
            (_, None) => return Some("Bearer realm=\"api\"".to_owned()),
            (_, Some(code)) => code,
        };
        let mut value = format!("Bearer error=\"{code}\", error_description=\"{}\"", only_quotable(&self.to_string()));
        match self {
            Self::MissingScope(scope) => write!(value, ", scope=\"{}\"", only_quotable(scope)).unwrap_or_default(),
            Self::StepUp { max_age, acr_values } => {
                if !acr_values.is_empty() {
                    write!(value, ", acr_values=\"{}\"", only_quotable(&acr_values.join(" "))).unwrap_or_default();
                }
                if let Some(seconds) = max_age {
                    write!(value, ", max_age=\"{seconds}\"").unwrap_or_default();
                }
            }
            _ => {}
        }
        Some(value)
    }
}

/// Drops the characters that RFC 6750 §3 does not allow inside the quotes.
fn only_quotable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect()
}

/// Admits requests whose token is valid and grants everything the gate requires.
#[derive(Clone, Debug)]
pub struct Gate {
    verifier: Arc<Verifier>,
    scopes: Vec<String>,
    permissions: Vec<String>,
    max_age: Option<Duration>,
    acr_values: Vec<String>,
    observe: bool,
    observed_refusals: Arc<AtomicU64>,
}

impl Gate {
    /// Admits any valid token.
    pub fn new(verifier: impl Into<Arc<Verifier>>) -> Self {
        Self {
            verifier: verifier.into(),
            scopes: Vec::new(),
            permissions: Vec::new(),
            max_age: None,
            acr_values: Vec::new(),
            observe: false,
            observed_refusals: Arc::default(),
        }
    }

    /// Requires a scope.
    #[must_use]
    pub fn require_scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Requires a permission.
    #[must_use]
    pub fn require_permission(mut self, permission: impl Into<String>) -> Self {
        self.permissions.push(permission.into());
        self
    }

    /// Requires that the user signed in within the last `age`. Otherwise the refusal asks for a new sign-in
    /// (RFC 9470).
    #[must_use]
    pub const fn require_sign_in_within(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Requires an authentication context class. If it is called more than once, any one of the classes is
    /// enough (RFC 9470).
    #[must_use]
    pub fn require_acr(mut self, acr: impl Into<String>) -> Self {
        self.acr_values.push(acr.into());
        self
    }

    /// Refuses nobody, but counts and logs the requests it would have refused, so that you can see what would
    /// break before you enforce it. Requests without a valid token are admitted without claims, so handlers
    /// must cope with that.
    #[must_use]
    pub const fn observe(mut self, on: bool) -> Self {
        self.observe = on;
        self
    }

    /// The number of requests it would have refused while it only observed.
    #[must_use]
    pub fn observed_refusals(&self) -> u64 {
        self.observed_refusals.load(Ordering::Relaxed)
    }

    /// Whether it only observes and refuses nobody.
    #[must_use]
    pub const fn is_observing(&self) -> bool {
        self.observe
    }

    /// The verifier that checks the tokens.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Checks the bearer token in a request's `Authorization` headers. Returns its claims, or `None` if the
    /// gate only observes and the token is not valid.
    ///
    /// # Errors
    /// Why the request is refused.
    pub async fn admit<'a>(
        &self,
        authorization: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Arc<Claims>>, Refusal> {
        Ok(self.admit_once(authorization, false).await?.claims)
    }

    /// Like [`admit`](Self::admit), but never waits: it uses [`Verifier::verify_now`].
    ///
    /// # Errors
    /// Why the request is refused.
    pub fn admit_now<'a>(
        &self,
        authorization: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Arc<Claims>>, Refusal> {
        Ok(self.admit_now_once(authorization, false)?.claims)
    }

    /// Like [`admit`](Self::admit). A refusal of a request that was counted before is not counted again.
    pub(crate) async fn admit_once<'a>(
        &self,
        authorization: impl IntoIterator<Item = &'a [u8]>,
        counted: bool,
    ) -> Result<Admission, Refusal> {
        let verdict = match bearer_token(authorization) {
            Ok(token) => self.verifier.verify(token).await.map_err(refusal_for),
            Err(refusal) => Err(refusal),
        };
        self.decide(verdict, counted)
    }

    /// Like [`admit_now`](Self::admit_now), in the same way.
    pub(crate) fn admit_now_once<'a>(
        &self,
        authorization: impl IntoIterator<Item = &'a [u8]>,
        counted: bool,
    ) -> Result<Admission, Refusal> {
        let verdict =
            bearer_token(authorization).and_then(|token| self.verifier.verify_now(token).map_err(refusal_for));
        self.decide(verdict, counted)
    }

    fn decide(&self, verdict: Result<Arc<Claims>, Refusal>, counted: bool) -> Result<Admission, Refusal> {
        // A caller with a valid token that lacks something is still identified.
        let (claims, verdict) = match verdict {
            Ok(claims) => (Some(claims.clone()), self.check_requirements(&claims)),
            Err(refusal) => (None, Err(refusal)),
        };
        match verdict {
            Ok(()) => Ok(Admission { claims, counted }),
            Err(refusal) if self.observe => {
                if !counted {
                    self.count_refusal(&refusal);
                }
                Ok(Admission { claims, counted: true })
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Counts and logs a request that would have been refused. [`admit`](Self::admit) does so itself; this is for
    /// decisions that are made elsewhere.
    pub fn count_refusal(&self, refusal: &Refusal) {
        self.observed_refusals.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(status = refusal.status(), reason = %refusal, "the request would have been refused");
    }

    /// The mark on a request that this gate, or one that was made from it, has counted.
    #[cfg(feature = "tower")]
    pub(crate) fn mark(&self) -> Counted {
        Counted(self.observed_refusals.clone())
    }

    fn check_requirements(&self, claims: &Claims) -> Result<(), Refusal> {
        if self.scopes.iter().any(|s| !claims.has_scope(s)) {
            return Err(Refusal::MissingScope(self.scopes.join(" ")));
        }
        if let Some(permission) = self.permissions.iter().find(|p| !claims.has_permission(p)) {
            return Err(Refusal::MissingPermission(permission.clone()));
        }
        let recent = self.max_age.is_none_or(|age| self.verifier.signed_in_within(claims, age));
        let strong = self.acr_values.is_empty()
            || claims.acr.as_ref().is_some_and(|acr| self.acr_values.iter().any(|wanted| wanted == acr));
        if recent && strong {
            return Ok(());
        }
        let max_age = self.max_age.map(|age| age.as_secs());
        Err(Refusal::StepUp { max_age, acr_values: self.acr_values.clone() })
    }
}

/// What a gate decided on a request that it lets pass.
pub(crate) struct Admission {
    pub(crate) claims: Option<Arc<Claims>>,
    /// Whether the request is counted as one that would have been refused.
    #[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only layers hand requests on"))]
    pub(crate) counted: bool,
}

/// Marks a request as counted: it may pass several layers that share a count.
#[cfg(feature = "tower")]
#[derive(Clone, Debug)]
pub(crate) struct Counted(Arc<AtomicU64>);

#[cfg(feature = "tower")]
impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

fn refusal_for(error: VerifyError) -> Refusal {
    match error {
        error if error.is_temporary() => Refusal::Unavailable(error),
        // The token is good, but nobody has signed in (RFC 9470 §3).
        VerifyError::Guest => Refusal::StepUp { max_age: None, acr_values: vec![SIGNED_IN.to_owned()] },
        error => Refusal::InvalidToken(error),
    }
}

/// The request's only bearer token, from the values of all its `Authorization` headers (RFC 6750 §2.1). Two headers are
/// refused: which of them is used must not depend on who reads them.
///
/// The scheme may be in any case, and at least one space separates it from the token (RFC 9110 §11.4). Blanks around
/// the value are no part of it (§5.5), though not every HTTP implementation removes them. `Bearer` alone brings no token.
///
/// # Errors
/// There is no bearer token, or more than one.
pub fn bearer_token<'a>(authorization: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, Refusal> {
    let mut values = authorization.into_iter();
    let value = values.next().ok_or(Refusal::NoToken)?;
    if values.next().is_some() {
        return Err(Refusal::BadRequest("more than one Authorization header"));
    }
    let value =
        std::str::from_utf8(value).map_err(|_| Refusal::BadRequest("the Authorization header is not valid UTF-8"))?;
    let value = value.trim_matches([' ', '\t']);
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let token = rest.trim_start_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(Refusal::NoToken);
    }
    let usable = !token.contains([' ', '\t', ',']);
    usable.then_some(token).ok_or(Refusal::BadRequest("the Authorization header is not a single bearer token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `Authorization` and what is read from them. The server and the guard are tested with the same table.
    const VALUES: &str = include_str!("../testdata/bearer.txt");

    #[test]
    fn only_a_single_well_formed_bearer_token_is_accepted() {
        let mut read = 0;
        for line in VALUES.lines().filter(|line| !line.starts_with('#')) {
            let (status, value) = line.split_once(": ").unwrap();
            let value = value.trim_matches('|').replace("\\t", "\t");
            let actual = bearer_token([value.as_bytes()]);
            match status {
                "200" => assert_eq!(actual, Ok("a.b.c"), "{line}"),
                _ => assert_eq!(actual.unwrap_err().status().to_string(), status, "{line}"),
            }
            read += 1;
        }
        assert!(read > 15, "{read}");
        assert_eq!(bearer_token([]), Err(Refusal::NoToken));
        assert_eq!(bearer_token([&b"Bearer a"[..], b"Bearer b"]).unwrap_err().status(), 400);
        assert_eq!(bearer_token([&b"Bearer \xff"[..]]).unwrap_err().status(), 400);
    }

    #[test]
    fn refusals_have_the_status_and_challenge_of_rfc_6750_and_rfc_9470() {
        for (refusal, status, header) in [
            (Refusal::NoToken, 401, Some(r#"Bearer realm="api""#)),
            (
                Refusal::InvalidToken(VerifyError::Expired),
                401,
                Some(r#"Bearer error="invalid_token", error_description="expired""#),
            ),
            (
                Refusal::InvalidToken(VerifyError::UnknownKey { kid: "\"\r\nx: y".into() }),
                401,
                Some(r#"Bearer error="invalid_token", error_description="unknown key""#),
            ),
            (
                Refusal::MissingScope("a\"b".into()),
                403,
                Some(
                    r#"Bearer error="insufficient_scope", error_description="insufficient scope, required: ab", scope="ab""#,
                ),
            ),
            (
                Refusal::StepUp { max_age: Some(300), acr_values: vec!["gold".into(), "silver".into()] },
                401,
                Some(concat!(
                    r#"Bearer error="insufficient_user_authentication", "#,
                    r#"error_description="a more recent or stronger sign-in is required", "#,
                    r#"acr_values="gold silver", max_age="300""#
                )),
            ),
            (Refusal::Unavailable(VerifyError::RevocationsUnknown), 503, None),
        ] {
            assert_eq!((refusal.status(), refusal.www_authenticate().as_deref()), (status, header));
        }
    }
}
