//! What is submitted twice: by a double click, or by a browser that tries again because the first answer was lost. It is
//! done once, and whoever submits the same again within a minute gets the outcome of the first.

use super::{
    Accounts,
    register::PendingAccount,
    reset::{ResetBy, way_of},
    verify::PendingEmail,
};
use crate::{
    domain::{
        client::Client,
        session::RESULT_TTL,
        ticket::{Ticket, TicketKind},
    },
    error::Result,
    id::VisitorId,
    keys::form_id::same_proof,
    service::people::tickets::PresentedTicket,
    store::SeenTicket,
};

/// What a code or link was used for a moment ago.
#[derive(Debug)]
pub struct UsedBefore {
    /// Whether it opened an account; it has given one another address otherwise.
    pub opened: bool,
    /// The address.
    pub email: String,
    /// Where the person who made the request was going; empty for the site's home.
    pub return_to: String,
    /// Whether the user name was left out.
    pub without_name: bool,
}

impl Accounts {
    /// What the same submission has used the code or link for a moment ago, if it has.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn used_before(
        &self,
        client: &Client,
        (presented, proof): (&PresentedTicket, &[u8; 32]),
    ) -> Result<Option<UsedBefore>> {
        let Some((ticket, rest)) = self.used_for(client, (presented, proof)).await? else { return Ok(None) };
        let without_name = rest == [1];
        Ok(match ticket.kind {
            TicketKind::Register => {
                let PendingAccount { email, visit, .. } = self.tickets.data(&ticket)?;
                let return_to = visit.map(|visit| visit.return_to).unwrap_or_default();
                Some(UsedBefore { opened: true, email, return_to, without_name })
            }
            TicketKind::VerifyEmail => {
                let PendingEmail { email, .. } = self.tickets.data(&ticket)?;
                Some(UsedBefore { opened: false, email, return_to: String::new(), without_name })
            }
            _ => None,
        })
    }

    /// Whether the same submission has set the password a moment ago. If it has, where the visitor was going who asked
    /// for it; nothing in another browser.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn was_just_reset(
        &self,
        (client, visitor): (&Client, &VisitorId),
        (presented, proof): (&PresentedTicket, &[u8; 32]),
    ) -> Result<Option<String>> {
        let Some((ticket, _)) = self.used_for(client, (presented, proof)).await? else { return Ok(None) };
        let by: Option<ResetBy> = self.tickets.data(&ticket)?;
        Ok(Some(way_of(by, visitor)))
    }

    /// The ticket that was used for exactly this, and what else was kept with it.
    async fn used_for(
        &self,
        client: &Client,
        (presented, proof): (&PresentedTicket, &[u8; 32]),
    ) -> Result<Option<(Ticket, Vec<u8>)>> {
        let Some(id) = self.tickets.id_of(presented) else { return Ok(None) };
        let since = self.live.now().minus(RESULT_TTL);
        let Some(seen) = self.store.read().await?.ticket_seen(&id).await? else { return Ok(None) };
        let SeenTicket { ticket, used_at, result } = seen;
        let recent = ticket.client == client.id && used_at.is_some_and(|at| at >= since);
        let Some((kept, rest)) = result.as_deref().and_then(|kept| kept.split_first_chunk::<32>()) else {
            return Ok(None);
        };
        Ok((recent && same_proof(kept, proof)).then(|| (ticket, rest.to_vec())))
    }
}
