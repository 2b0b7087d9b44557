//! What a sign-in with steps left goes on from: the session that it raises, and the guest who signs in.

use super::{guests::GUEST_JOINED, state::PendingSignIn};
use crate::{
    domain::session::SessionKind, error::Result, service::people::tickets::CODE_INVALID, store::Tx, time::Timestamp,
};

impl PendingSignIn {
    /// Locks the rows of the sessions that the sign-in goes on from, so that none of them ends before this transaction
    /// does. The caller holds the row of the user. Without them, no factor is spent, nor set up: whoever has a token of
    /// an ended session could set up their own.
    ///
    /// # Errors
    /// [`CODE_INVALID`] if the session that is raised has ended; [`GUEST_JOINED`] if the guest has.
    pub(super) async fn hold_sessions(&self, tx: &mut Tx, now: Timestamp) -> Result<()> {
        let Self { user, state, .. } = self;
        let kind = if state.at_page.is_some() { SessionKind::Browser } else { SessionKind::Token };
        if let Some(basis) = &state.basis
            && tx.basis_hold(basis.session.clone(), (user, kind), now).await?.is_none()
        {
            return Err(CODE_INVALID);
        }
        // A browser signs in without a guest who has gone.
        if let Some(guest) = state.guest.as_ref().filter(|_| kind == SessionKind::Token)
            && tx.guest_hold(&guest.session, (user, kind), now).await?.is_none()
        {
            return Err(GUEST_JOINED);
        }
        Ok(())
    }
}
