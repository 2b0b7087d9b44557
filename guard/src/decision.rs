//! One decision for all who ask.

use std::sync::Arc;

use chancery_verify::{Claims, Gate, Refusal};

use crate::headers::{is_ours, of_claims};

/// Decides whether requests pass.
#[derive(Clone, Debug)]
pub(crate) struct Decider {
    gate: Gate,
}

/// The verdict on a request that a proxy asks about.
pub(crate) type Decision = Result<Vec<(&'static str, String)>, Refusal>;

impl Decider {
    pub(crate) const fn new(gate: Gate) -> Self {
        Self { gate }
    }

    pub(crate) const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Decides by a request's headers. Who passes gets every header of ours, empty where there is nothing
    /// to say, so that a proxy always has something to put in place of what the caller may have sent.
    pub(crate) async fn decide(&self, headers: &[(&str, &[u8])]) -> Decision {
        // The service behind would take them for the guard's. Even one that only observes refuses that.
        if headers.iter().any(|(name, _)| is_ours(name)) {
            return Err(Refusal::BadRequest("x-chancery- headers are the guard's"));
        }
        let authorization = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let values: Vec<&[u8]> = authorization.map(|(_, value)| *value).collect();
        let claims = self.gate.admit(values.iter().copied()).await?;
        Ok(of_claims(claims.as_deref(), token(&values)))
    }

    /// Decides on a token alone, with scopes and permissions that this question adds. Says the truth even if
    /// it only observes: there is nobody here to let pass.
    pub(crate) async fn decide_token(
        &self,
        token: &str,
        scopes: Vec<String>,
        permissions: Vec<String>,
    ) -> Result<Arc<Claims>, Refusal> {
        let gate = scopes.into_iter().fold(self.gate.clone(), Gate::require_scope);
        let gate = permissions.into_iter().fold(gate, Gate::require_permission).observe(false);
        let value = format!("Bearer {token}");
        gate.admit([value.as_bytes()]).await?.ok_or(Refusal::NoToken)
    }
}

/// The token of a request that has passed.
fn token<'a>(authorization: &[&'a [u8]]) -> &'a str {
    let value = authorization.first().and_then(|v| std::str::from_utf8(v).ok()).unwrap_or_default();
    value.rsplit(' ').find(|part| !part.is_empty()).unwrap_or_default()
}
