//! What a browser's sign-in between its steps is found to be.

use std::sync::Arc;

use super::{
    SignInStep, SignIns,
    goal::StateAtPage,
    page_step::{StepField, StepPlace, StepsEnd},
    state::{PendingSignIn, SignInState},
};
use crate::{
    domain::{
        client::Client,
        password_policy::PasswordPolicy,
        ticket::{Ticket, TicketKind},
    },
    error::Result,
    secret::RecoveryCode,
    service::people::{factors::TotpSetup, tickets::CODE_INVALID},
};

/// A sign-in in this browser, as it stands.
pub(super) struct Found {
    pub(super) ticket: Ticket,
    /// Why its next step cannot be taken, if so.
    pub(super) end: Option<StepsEnd>,
    pub(super) state: SignInState,
    pub(super) at_page: StateAtPage,
    /// The app to set up, if there is one.
    setup: Option<Arc<TotpSetup>>,
    /// What a passkey is asked, if it takes one.
    passkey: Option<String>,
    /// The fewest characters of a new password.
    min_password: usize,
}

impl SignIns {
    /// A sign-in that this browser holds, whether or not its time is over.
    pub(super) async fn find_at_page(&self, client: &Client, place: &StepPlace) -> Result<Option<Found>> {
        let StepPlace { id, holder, .. } = place;
        let now = self.live.now();
        let mut tx = self.store.read().await?;
        let held = tx.ticket_find(id, now).await?.filter(|ticket| ticket.holder.as_ref() == Some(holder));
        let mut end = held.is_none().then_some(StepsEnd::Expired);
        let held = if end.is_none() { held } else { tx.ticket_of_holder(id, holder).await? };
        let of_client = |ticket: &Ticket| ticket.kind == TicketKind::SignIn && ticket.client == client.id;
        let Some(ticket) = held.filter(of_client) else { return Ok(None) };
        let state: SignInState = self.tickets.data(&ticket)?;
        let mut policy = PasswordPolicy::default();
        if let Some(user) = ticket.user.as_ref().filter(|_| end.is_none()) {
            // An account that has changed since takes none of its steps.
            let user = tx.user_by_id(user).await?.filter(|user| user.disabled_at.is_none());
            policy = PasswordPolicy::beside(user.as_ref().map_or(0, |user| user.second_factors));
            let as_it_was = user.is_some_and(|user| user.security_version == ticket.security_version);
            end = (!as_it_was).then_some(StepsEnd::AccountChanged);
        }
        if let Some(basis) = state.basis.as_ref().filter(|_| end.is_none()) {
            // It stands for the password.
            end = (!basis.is_live(&mut tx, now).await?).then_some(StepsEnd::Expired);
        }
        drop(tx);
        let end = end.or_else(|| codes_used_up(&ticket, &state).then_some(StepsEnd::CodesUsedUp));
        let at_page = state.at_page.clone();
        let site = client.config.site.as_ref();
        let here = |at_page: &StateAtPage| site.is_some_and(|site| site.origin() == at_page.goal.site);
        let setup = state.totp.as_ref().map(|pending| pending.setup(client)).transpose()?.map(Arc::new);
        let passkey = self.passkey_options(client, &ticket, &state);
        let min_password = policy.min_code_points;
        Ok(at_page.filter(here).map(|at_page| Found { ticket, end, state, at_page, setup, passkey, min_password }))
    }
}

impl Found {
    /// Whether its next step can be taken.
    pub(super) const fn is_open(&self) -> bool {
        self.end.is_none()
    }

    pub(super) fn pending(&self) -> Result<PendingSignIn> {
        let user = self.ticket.user.clone().ok_or(CODE_INVALID)?;
        Ok(PendingSignIn { ticket: self.ticket.clone(), user, state: self.state.clone() })
    }

    /// What the next step asks for.
    pub(super) fn field(&self) -> Option<StepField> {
        if !self.state.recovery_codes.is_empty() {
            let codes = self.state.recovery_codes.iter().map(|code| RecoveryCode::new(code.clone()));
            return Some(StepField::RecoveryCodes { codes: Arc::new(codes.collect()) });
        }
        Some(match (self.state.steps.first()?, &self.state.email) {
            (SignInStep::Mfa, _) => {
                let elsewhere = self.state.passkeys.elsewhere().to_vec();
                StepField::Factor { kinds: self.state.factors.clone(), passkey: self.passkey.clone(), elsewhere }
            }
            (SignInStep::Enrol, _) => StepField::Enrol { setup: self.setup.clone()?, passkey: self.passkey.clone() },
            (SignInStep::ChoosePassword, _) => StepField::NewPassword { min: self.min_password },
            (SignInStep::VerifyEmail, None) => StepField::Address,
            (SignInStep::VerifyEmail, Some(sent_to)) => StepField::Code { sent_to: sent_to.clone() },
        })
    }
}

/// Whether the step takes no more codes. A code that was mailed can be sent again, and then has attempts of its own.
fn codes_used_up(ticket: &Ticket, state: &SignInState) -> bool {
    let of_factors = matches!(state.steps.first(), Some(SignInStep::Mfa | SignInStep::Enrol));
    ticket.attempts_left <= 0 && of_factors && state.recovery_codes.is_empty()
}
