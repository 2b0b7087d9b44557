//! Changes of second factors that are submitted twice: by a double click, or because the answer was lost. They are done
//! once, and whoever submits the same again is shown the same recovery codes, as long as they are what the user has.

use super::{Accounts, factors::NewFactor};
use crate::{
    domain::{
        factor::{Factor, FactorKind},
        passkey::Passkey,
        ticket::{Ticket, TicketKind},
        user::User,
    },
    error::Result,
    id::UserId,
    keys::{form_id::same_proof, parse_ticket_token},
    secret::{RecoveryCode, TicketToken, TypedCode},
    service::{access::Me, people::factors::PendingTotp},
    store::SeenTicket,
};

impl Accounts {
    /// The keyed hash of the code that an enrolment is confirmed with.
    ///
    /// # Errors
    /// If the version of the sealing key that the enrolment was made with was dropped.
    pub(super) fn proof_of_code(&self, ticket: &Ticket, code: &TypedCode) -> Result<[u8; 32]> {
        Ok(self.tickets.key_of(ticket)?.code_hash(ticket.id.as_str(), code.expose()))
    }

    /// The app that this user has set up by the same enrolment and code; nothing once the enrolment has expired.
    pub(super) async fn totp_confirmed_before(
        &self,
        me: &Me,
        token: &TicketToken,
        code: &TypedCode,
    ) -> Result<Option<NewFactor>> {
        let Some((id, secret)) = parse_ticket_token(token) else { return Ok(None) };
        let mut tx = self.store.read().await?;
        let Some(SeenTicket { ticket, result: Some(kept), .. }) = tx.ticket_seen(&id).await? else { return Ok(None) };
        let own = ticket.kind == TicketKind::Enrol
            && ticket.user.as_ref() == Some(&me.user)
            && ticket.client.as_str() == me.client
            && ticket.secret.matches(&secret.hash())
            && self.live.now() < ticket.expires_at;
        let proof = self.proof_of_code(&ticket, code)?;
        if !own || !kept.try_into().is_ok_and(|kept| same_proof(&kept, &proof)) {
            return Ok(None);
        }
        let pending: PendingTotp = self.tickets.data(&ticket)?;
        let factor = tx.factors_of(&me.user).await?.into_iter().find(|factor| factor.id == *pending.factor());
        drop(tx);
        let Some(factor) = factor else { return Ok(None) };
        Ok(Some(NewFactor { factor, recovery_codes: self.codes_of_enrolment(&me.user, token).await? }))
    }

    /// A passkey of the user that was added before.
    pub(super) async fn passkey_added_before(&self, passkey: Passkey, enrolment: &TicketToken) -> Result<NewFactor> {
        let recovery_codes = self.codes_of_enrolment(&passkey.user, enrolment).await?;
        let Passkey { id, name, created_at, last_used_at, .. } = passkey;
        Ok(NewFactor {
            factor: Factor { id, kind: FactorKind::Passkey, name, created_at, last_used_at },
            recovery_codes,
        })
    }

    /// The recovery codes that came with a factor that this enrolment has set up; none if they are not what the user has.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn codes_of_enrolment(&self, user: &UserId, enrolment: &TicketToken) -> Result<Vec<RecoveryCode>> {
        let codes = self.factors.codes_of_enrolment(enrolment);
        self.factors.still_unused(&mut self.store.read().await?, user, codes).await
    }

    /// The recovery codes that a form has given to a user who is as that has left them.
    pub(super) async fn codes_of_form_before(&self, user: &User, form: &[u8; 16]) -> Result<Option<Vec<RecoveryCode>>> {
        let codes = self.factors.codes_of_form(form, user.security_version - 1);
        let codes = self.factors.still_unused(&mut self.store.read().await?, &user.id, codes).await?;
        Ok((!codes.is_empty()).then_some(codes))
    }
}
