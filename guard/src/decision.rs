//! The decision on a request, shared by all three listeners.

use std::sync::Arc;

use chancery_verify::{Claims, Gate, Refusal, bearer_token};

use crate::headers::{claim_headers, is_reserved};

/// What is asked of the guard for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whether its token is good.
    Token,
    /// The same, unless it is a CORS preflight: browsers send those without a token. The proxy has made sure that the
    /// method is OPTIONS.
    TokenUnlessPreflight,
}

/// Decides whether requests are admitted.
#[derive(Clone, Debug)]
pub(crate) struct Decider {
    gate: Gate,
}

/// The headers for the service behind the proxy, or why the request is refused.
pub(crate) type Decision = Result<Vec<(&'static str, String)>, Refusal>;

impl Decider {
    pub(crate) const fn new(gate: Gate) -> Self {
        Self { gate }
    }

    pub(crate) const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Decides on a request by its headers. If it is admitted, every `x-chancery-` header is returned, empty
    /// where there is no value, so that the proxy overwrites whatever the caller may have sent.
    pub(crate) async fn decide(&self, question: Question, headers: &[(&str, &[u8])]) -> Decision {
        // The service behind the proxy would take them for the guard's. They are refused even if the guard only
        // observes.
        if headers.iter().any(|(name, _)| is_reserved(name)) {
            return Err(Refusal::BadRequest("x-chancery- headers are reserved for the guard"));
        }
        // What follows an upgrade passes the proxy unseen. An HTTP/2 connection would bring requests with such headers.
        let upgrades = upgrades(headers)?;
        if question == Question::TokenUnlessPreflight && !upgrades && is_preflight(headers) {
            return Ok(claim_headers(None, ""));
        }
        let authorization = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let values: Vec<&[u8]> = authorization.map(|(_, value)| *value).collect();
        let claims = self.gate.admit(values.iter().copied()).await?;
        Ok(claim_headers(claims.as_deref(), bearer_token(values).unwrap_or_default()))
    }

    /// Decides on a token alone, with additional required scopes and permissions. Returns the refusal even if
    /// the guard only observes: the caller needs to know, and decides for itself.
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

/// Whether the request wants to change the protocol of its connection. Only web sockets may pass, and only if nothing
/// else is offered: which of several is taken depends on who reads them.
fn upgrades(headers: &[(&str, &[u8])]) -> Result<bool, Refusal> {
    let mut values = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("upgrade")).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(value), None) if value.eq_ignore_ascii_case(b"websocket") => Ok(true),
        _ => Err(Refusal::BadRequest("Upgrade must be websocket and nothing else")),
    }
}

/// Whether these are the headers of a CORS preflight: it names the method it asks for, and has no credentials, not even
/// empty ones.
fn is_preflight(headers: &[(&str, &[u8])]) -> bool {
    let has = |wanted: &str| headers.iter().any(|(name, value)| name.eq_ignore_ascii_case(wanted) && !value.is_empty());
    has("origin")
        && has("access-control-request-method")
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
}
