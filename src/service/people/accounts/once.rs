//! A mail that is asked for once, however often its form is submitted.

use ulid::Ulid;

use super::Accounts;
use crate::{
    domain::{client::Client, session::RESULT_TTL},
    error::Result,
    id::TicketId,
    service::people::tickets::PendingTicket,
    store::SeenTicket,
    time::Timestamp,
};

/// A mail that is asked for once, however often its form is submitted: the id of its ticket follows from what was
/// submitted, and the insert of the ticket decides, whichever processes are asked.
#[derive(Clone, Debug)]
pub struct Once(TicketId);

impl Once {
    /// What a form asks for, by the keyed hash of what was submitted and the time when the form was made.
    #[must_use]
    pub fn of_form(proof: &[u8; 32], made_at: Timestamp) -> Self {
        let time = u64::try_from(made_at.millis()).unwrap_or(0);
        let bits = proof.first_chunk::<16>().map_or(0, |bytes| u128::from_be_bytes(*bytes));
        Self(TicketId::from_ulid(Ulid::from_parts(time, bits)))
    }
}

/// Whether a mail was asked for before.
pub(super) enum Turn {
    /// It was. This is its ticket.
    Repeated(PendingTicket),
    /// It was not. Its ticket gets this id.
    First(TicketId),
}

/// What is kept with a ticket that was used at a site.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept<'a> {
    /// The keyed hash of what was submitted.
    pub(super) proof: &'a [u8; 32],
    /// Whether the user name was left out, because somebody else has it.
    pub(super) without_name: bool,
}

impl Kept<'_> {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        [&self.proof[..], &[u8::from(self.without_name)]].concat()
    }
}

impl Accounts {
    /// Whether this was asked for a moment ago, and is still waited for.
    pub(super) async fn turn(&self, client: &Client, once: Option<&Once>) -> Result<Turn> {
        let now = self.live.now();
        let new = || Turn::First(TicketId::new(now, &*self.entropy));
        let Some(Once(id)) = once else { return Ok(new()) };
        let mut tx = self.store.read().await?;
        let Some(SeenTicket { ticket, used_at, .. }) = tx.ticket_seen(id).await? else {
            return Ok(Turn::First(id.clone()));
        };
        // Whoever asks again after that misses the mail, and gets another.
        let recent = now < ticket.created_at.plus(RESULT_TTL) && ticket.client == client.id;
        let waited_for = used_at.is_none() && ticket.attempts_left > 0;
        if !recent || !waited_for || !self.tickets.is_of_account(&mut tx, &ticket).await? {
            return Ok(new());
        }
        Ok(Turn::Repeated(self.tickets.pending(&ticket)?))
    }
}
