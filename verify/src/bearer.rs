//! Who may pass: bearer tokens as RFC 6750 has them presented and refused.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{Claims, Verifier, VerifyError};

/// Why a request does not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It carries no bearer token.
    #[error("an access token is needed: Authorization: Bearer")]
    NoToken,
    /// Its `Authorization` is not one bearer token.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The token is not good.
    #[error("{0}")]
    Token(VerifyError),
    /// Whether the token is good cannot be told now.
    #[error("{0}")]
    Unavailable(VerifyError),
    /// The token lacks a scope. All that are needed, with blanks between: who asks for them gets in.
    #[error("the scope {0} is needed")]
    Scope(String),
    /// The token lacks a permission.
    #[error("the permission {0} is needed")]
    Permission(String),
    /// The user must sign in again, or more strongly (RFC 9470).
    #[error("a more recent or a stronger sign-in is needed")]
    StepUp {
        /// The sign-in may be so many seconds old.
        max_age: Option<u64>,
        /// One of these classes of sign-in is needed.
        acr_values: Vec<String>,
    },
}

impl Refusal {
    /// The HTTP status: 400, 401, 403 or 503.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::NoToken | Self::Token(_) | Self::StepUp { .. } => 401,
            Self::Scope(_) | Self::Permission(_) => 403,
            Self::Unavailable(_) => 503,
        }
    }

    /// The error code of RFC 6750 §3.1 and RFC 9470 §3, if the refusal has one.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::BadRequest(_) => Some("invalid_request"),
            Self::Token(_) => Some("invalid_token"),
            Self::Scope(_) | Self::Permission(_) => Some("insufficient_scope"),
            Self::StepUp { .. } => Some("insufficient_user_authentication"),
            // A request without credentials is told no error (§3.1), and one that comes too early has made none.
            Self::NoToken | Self::Unavailable(_) => None,
        }
    }

    /// The value of `WWW-Authenticate`; none if the trouble is not the token's.
    #[must_use]
    pub fn www_authenticate(&self) -> Option<String> {
        let code = match (self, self.code()) {
            (Self::Unavailable(_), _) => return None,
            (_, None) => return Some("Bearer realm=\"api\"".to_owned()),
            (_, Some(code)) => code,
        };
        let mut value = format!("Bearer error=\"{code}\", error_description=\"{}\"", quotable(&self.to_string()));
        match self {
            Self::Scope(scope) => write!(value, ", scope=\"{}\"", quotable(scope)).unwrap_or_default(),
            Self::StepUp { max_age, acr_values } => {
                if !acr_values.is_empty() {
                    write!(value, ", acr_values=\"{}\"", quotable(&acr_values.join(" "))).unwrap_or_default();
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

/// What may stand between quotes (RFC 6750 §3).
fn quotable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect()
}

/// Lets requests with a good token pass that grants what is asked for.
#[derive(Clone, Debug)]
pub struct Gate {
    verifier: Arc<Verifier>,
    scopes: Vec<String>,
    permissions: Vec<String>,
    max_age: Option<Duration>,
    acr_values: Vec<String>,
    observe: bool,
    would_refuse: Arc<AtomicU64>,
}

impl Gate {
    /// Any good token passes.
    pub fn new(verifier: impl Into<Arc<Verifier>>) -> Self {
        Self {
            verifier: verifier.into(),
            scopes: Vec::new(),
            permissions: Vec::new(),
            max_age: None,
            acr_values: Vec::new(),
            observe: false,
            would_refuse: Arc::default(),
        }
    }

    /// Asks for a scope.
    #[must_use]
    pub fn require_scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Asks for a permission.
    #[must_use]
    pub fn require_permission(mut self, permission: impl Into<String>) -> Self {
        self.permissions.push(permission.into());
        self
    }

    /// Asks for a user who signed in so recently; who did not is asked to sign in again (RFC 9470).
    #[must_use]
    pub const fn require_sign_in_within(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Asks for a class of sign-in; of several, one is enough (RFC 9470).
    #[must_use]
    pub fn require_acr(mut self, acr: impl Into<String>) -> Self {
        self.acr_values.push(acr.into());
        self
    }

    /// Lets everybody pass, and counts and logs whom it would refuse: to see, before it counts, what would
    /// break. A request whose token is not good passes without claims, so handlers must do without meanwhile.
    #[must_use]
    pub const fn observe(mut self, on: bool) -> Self {
        self.observe = on;
        self
    }

    /// How many requests it would have refused while it only observed.
    #[must_use]
    pub fn would_refuse(&self) -> u64 {
        self.would_refuse.load(Ordering::Relaxed)
    }

    /// Whether it only observes.
    #[must_use]
    pub const fn observes(&self) -> bool {
        self.observe
    }

    /// Its verifier.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Decides by a request's `Authorization` headers. Passes with claims, or, when it only observes,
    /// without.
    ///
    /// # Errors
    /// Why the request does not pass.
    pub async fn admit<'a>(
        &self,
        authorization: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Arc<Claims>>, Refusal> {
        let verdict = match bearer(authorization) {
            Ok(token) => self.verifier.verify(token).await.map_err(refusal),
            Err(refusal) => Err(refusal),
        };
        self.conclude(verdict)
    }

    /// The same without any waiting, by [`Verifier::verify_now`].
    ///
    /// # Errors
    /// Why the request does not pass.
    pub fn admit_now<'a>(
        &self,
        authorization: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Arc<Claims>>, Refusal> {
        let verdict = bearer(authorization).and_then(|token| self.verifier.verify_now(token).map_err(refusal));
        self.conclude(verdict)
    }

    fn conclude(&self, verdict: Result<Arc<Claims>, Refusal>) -> Result<Option<Arc<Claims>>, Refusal> {
        // Who is good and lacks something is still who they are.
        let (claims, verdict) = match verdict {
            Ok(claims) => (Some(claims.clone()), self.grants(&claims)),
            Err(refusal) => (None, Err(refusal)),
        };
        match verdict {
            Ok(()) => Ok(claims),
            Err(refusal) if self.observe => {
                self.would_refuse.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(status = refusal.status(), reason = %refusal, "would be refused");
                Ok(claims)
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn grants(&self, claims: &Claims) -> Result<(), Refusal> {
        if self.scopes.iter().any(|s| !claims.has_scope(s)) {
            return Err(Refusal::Scope(self.scopes.join(" ")));
        }
        if let Some(permission) = self.permissions.iter().find(|p| !claims.has_permission(p)) {
            return Err(Refusal::Permission(permission.clone()));
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

fn refusal(error: VerifyError) -> Refusal {
    if error.is_temporary() { Refusal::Unavailable(error) } else { Refusal::Token(error) }
}

/// The one bearer token (RFC 6750 §2.1). Which of two counts must never be a matter of taste.
fn bearer<'a>(authorization: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, Refusal> {
    let mut values = authorization.into_iter();
    let value = values.next().ok_or(Refusal::NoToken)?;
    if values.next().is_some() {
        return Err(Refusal::BadRequest("more than one Authorization"));
    }
    let value = std::str::from_utf8(value).map_err(|_| Refusal::BadRequest("Authorization is not text"))?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::NoToken);
    }
    let token = token.trim_matches(' ');
    let usable = !token.is_empty() && !token.contains([' ', ',']);
    usable.then_some(token).ok_or(Refusal::BadRequest("Authorization is not one bearer token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found_and_nothing_else_is_taken_for_one() {
        let read = |values: &[&'static str]| bearer(values.iter().map(|v| v.as_bytes()));
        assert_eq!(read(&["Bearer a.b.c"]), Ok("a.b.c"));
        assert_eq!(read(&["bEARER   a.b.c "]), Ok("a.b.c"));
        for (values, status) in [
            (&[][..], 401),
            (&["Basic YTpi"], 401),
            (&["Bearera.b.c"], 401),
            (&["Bearer"], 400),
            (&["Bearer "], 400),
            (&["Bearer a b"], 400),
            (&["Bearer a, Bearer b"], 400),
            (&["Bearer a", "Bearer b"], 400),
        ] {
            assert_eq!(read(values).unwrap_err().status(), status, "{values:?}");
        }
    }

    #[test]
    fn refusals_say_what_rfc_6750_and_rfc_9470_want() {
        for (refusal, status, header) in [
            (Refusal::NoToken, 401, Some(r#"Bearer realm="api""#)),
            (
                Refusal::Token(VerifyError::Expired),
                401,
                Some(r#"Bearer error="invalid_token", error_description="expired""#),
            ),
            (
                Refusal::Token(VerifyError::UnknownKey { kid: "\"\r\nx: y".into() }),
                401,
                Some(r#"Bearer error="invalid_token", error_description="unknown key""#),
            ),
            (
                Refusal::Scope("a\"b".into()),
                403,
                Some(r#"Bearer error="insufficient_scope", error_description="the scope ab is needed", scope="ab""#),
            ),
            (
                Refusal::StepUp { max_age: Some(300), acr_values: vec!["gold".into(), "silver".into()] },
                401,
                Some(concat!(
                    r#"Bearer error="insufficient_user_authentication", "#,
                    r#"error_description="a more recent or a stronger sign-in is needed", "#,
                    r#"acr_values="gold silver", max_age="300""#
                )),
            ),
            (Refusal::Unavailable(VerifyError::RevocationsUnknown), 503, None),
        ] {
            assert_eq!((refusal.status(), refusal.www_authenticate().as_deref()), (status, header));
        }
    }
}
