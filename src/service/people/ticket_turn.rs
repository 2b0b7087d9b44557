//! What becomes of a ticket when its step is taken.

use super::tickets::CODE_INVALID;
use crate::{
    domain::ticket::Ticket,
    error::Result,
    secret::CodeHash,
    store::{TicketAdvance, Tx},
    time::Timestamp,
};

/// The next revision of a ticket.
pub(in crate::service) struct NextRevision {
    /// The sealed state.
    pub(in crate::service) sealed: Vec<u8>,
    /// A new code, with all its attempts, if one is sent.
    pub(in crate::service) code: Option<CodeHash>,
    /// When it expires.
    pub(in crate::service) expires_at: Timestamp,
}

/// What becomes of a ticket when its step is taken.
#[derive(Clone, Copy)]
pub(in crate::service) enum TicketTurn<'a> {
    /// It is used up.
    Use,
    /// It is used up for this, which is kept with it.
    UseFor(&'a [u8; 32]),
    /// It is used up, and another one follows it.
    ReplaceBy(&'a Ticket),
    /// It goes on to its next revision.
    Advance(&'a NextRevision),
}

impl TicketTurn<'_> {
    /// Takes the ticket: one conditional update decides whether this call did. The ticket goes on with the user as the
    /// transaction has left them.
    ///
    /// # Errors
    /// [`CODE_INVALID`] if the ticket was taken before.
    pub(in crate::service) async fn take(self, tx: &mut Tx, ticket: &Ticket, now: Timestamp) -> Result<()> {
        let taken = match self {
            Self::Use => tx.ticket_use(&ticket.id, now).await?,
            Self::UseFor(what) => tx.ticket_use_for(&ticket.id, now, what).await?,
            Self::ReplaceBy(next) => {
                let taken = tx.ticket_use(&ticket.id, now).await?;
                tx.ticket_insert(next).await?;
                taken
            }
            Self::Advance(next) => advance(tx, ticket, next, now).await?,
        };
        if taken { Ok(()) } else { Err(CODE_INVALID) }
    }
}

async fn advance(tx: &mut Tx, ticket: &Ticket, next: &NextRevision, now: Timestamp) -> Result<bool> {
    let user = ticket.user.as_ref().ok_or(CODE_INVALID)?;
    let user = tx.user_by_id(user).await?.ok_or(CODE_INVALID)?;
    let advance = TicketAdvance {
        id: &ticket.id,
        holder: ticket.holder.as_ref().ok_or(CODE_INVALID)?,
        revision: ticket.revision,
        security_version: user.security_version,
        code: next.code.as_ref(),
        sealed: &next.sealed,
        sealing_version: ticket.sealing_version,
        expires_at: next.expires_at,
    };
    tx.ticket_advance(&advance, now).await
}
