//! Token introspection (RFC 7662).

use std::sync::Arc;

use chancery_verify::Claims;

use super::Tokens;
use crate::{
    error::{Error, Result},
    service::access::{CallingClient, RequestContext},
};

/// Maximum length of a token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

impl Tokens {
    /// The claims of an access token, if it is valid and its audience is one that the caller serves. Uses no database
    /// access.
    ///
    /// # Errors
    /// A field violation; this process may have missed a revocation.
    pub async fn introspect(
        &self,
        ctx: &RequestContext,
        caller: &CallingClient,
        token: &str,
    ) -> Result<Option<Arc<Claims>>> {
        check_token(token)?;
        let snapshot = self.live.for_signing()?;
        let Some(policy) = snapshot.introspection_policies.get(caller.client().id.as_str()) else { return Ok(None) };
        self.callers.valid_claims(token, policy, ctx.now).await
    }
}

pub(super) fn check_token(token: &str) -> Result<()> {
    match token.len() {
        0 => Err(Error::invalid("token", "must not be empty")),
        n if n > MAX_TOKEN => Err(Error::invalid("token", format!("must be at most {MAX_TOKEN} bytes"))),
        _ => Ok(()),
    }
}
