//! Signing out.

use super::{Browser, BrowserSession};
use crate::{
    domain::{audit::Actor, session::RevokedCause},
    error::Result,
    service::{access::RequestContext, runtime::Revocation},
};

impl Browser {
    /// Ends the session of a cookie and the sessions that were opened from it, and publishes that to every process
    /// before it returns.
    ///
    /// # Errors
    /// The database is unreachable: then the session has not ended.
    pub async fn sign_out(&self, ctx: &RequestContext, session: &BrowserSession) -> Result<()> {
        let actor = Actor {
            address: ctx.peer.clone(),
            client: Some(session.client.to_string()),
            ..Actor::named(&session.subject)
        };
        let revocation = Revocation { sessions: vec![session.id.clone()], cause: RevokedCause::Logout, actor };
        self.writer.revoke(revocation).await.map(|_| ())
    }
}
