//! Sign-in with a passkey at a page.

use tokio::time::Instant;

use super::{
    AtPage, BrowserGoal, Device, Goal, PageSignedIn, PresentSession, SignInCall, SignIns,
    opening::OpenedSession,
    page::FormProof,
    passkey::{ByPasskey, PasskeyProof},
    state::SignInState,
};
use crate::{
    domain::{
        client::Client,
        passkey::PasskeyUse,
        ticket::{Ticket, TicketKind},
        user::User,
    },
    error::{Error, Reason, Result},
    id::TicketId,
    passkeys::Challenge,
    secret::{PasskeyResponse, sha256},
    service::{
        access::RequestContext,
        people::{new_passwords::wait_min_response_time, passkey_factors::relying_party_of, person::Person},
    },
};

/// A sign-in form that was submitted with what a passkey has signed.
#[derive(Debug)]
pub struct PagePasskey {
    /// What it has signed.
    pub response: PasskeyResponse,
    /// What it leads to.
    pub goal: BrowserGoal,
    /// The hash of the browser's visitor, who alone may take further steps.
    pub holder: [u8; 32],
    /// The form. Its id is what was signed.
    pub form: FormProof,
    /// The session that the browser has already.
    pub present: Option<PresentSession>,
}

impl SignIns {
    /// Checks what a passkey has signed, and opens a session behind a cookie.
    ///
    /// # Errors
    /// [`Reason::InvalidCredentials`] whatever is wrong with it; [`Error::TooManyAttempts`] before it is looked at.
    pub async fn sign_in_with_passkey_at_page(
        &self,
        ctx: &RequestContext,
        client: &Client,
        request: PagePasskey,
    ) -> Result<PageSignedIn> {
        let arrived = Instant::now();
        let result = self.take_passkey_at_page(ctx, client, request).await;
        if matches!(result, Err(Error::Unauthenticated(_))) {
            wait_min_response_time(arrived).await;
        }
        result
    }

    async fn take_passkey_at_page(
        &self,
        ctx: &RequestContext,
        client: &Client,
        request: PagePasskey,
    ) -> Result<PageSignedIn> {
        const REFUSED: Error = Error::Unauthenticated(Reason::InvalidCredentials);
        let PagePasskey { response, goal, holder, form, present } = request;
        let rp = relying_party_of(client).ok_or(REFUSED)?;
        let person = Person::at_browser(ctx);
        let guest = present.as_ref().and_then(|present| present.guest_of(client));
        let call = SignInCall { client, person, device: Device::default(), goal: Goal::Browser(goal), guest };
        let ticket = TicketId::of_hash(&sha256(&form.proof));
        let proof = PasskeyProof {
            rp: &rp,
            challenge: Challenge::of(form.id),
            response: &response,
            id: form.id,
            ticket: (ticket.clone(), holder),
        };
        let at_page = AtPage { form: Some(&form), present: present.as_ref() };
        let spending = |opened: &OpenedSession| self.spending(Some(&form), opened, &call, None);
        Ok(match Box::pin(self.prove_by_passkey(ctx, &call, &proof, at_page, &spending)).await? {
            ByPasskey::Session(opened) => PageSignedIn::Session(Box::new(self.cookies(&opened, &call, None))),
            ByPasskey::Steps(pending) => {
                let (user, state, passkey_use) = *pending;
                Box::pin(self.page_step_after_passkey(client, (&user, &state), &passkey_use, (&ticket, holder)))
                    .await?;
                PageSignedIn::Step(ticket)
            }
            ByPasskey::StepsBefore => PageSignedIn::Step(ticket),
            ByPasskey::Spent => PageSignedIn::FormSpent,
            ByPasskey::AnotherUser => PageSignedIn::AnotherUser,
            ByPasskey::Refused => return Err(REFUSED),
        })
    }

    /// Stores a sign-in with steps left, for this browser alone.
    async fn page_step_after_passkey(
        &self,
        client: &Client,
        (user, state): (&User, &SignInState),
        passkey_use: &PasskeyUse,
        (id, holder): (&TicketId, [u8; 32]),
    ) -> Result<()> {
        let of = Some((&user.id, user.security_version));
        let mut issued = self.tickets.issue_as(id.clone(), (TicketKind::SignIn, &client.id), of, state)?;
        issued.ticket.holder = Some(holder);
        // If it is there already, the same form was sent twice.
        self.keep_after_passkey(user, &issued.ticket, passkey_use).await.map(|_| ())
    }

    /// Stores the ticket of further steps and notes the use of the passkey that has led to them. Returns whether this call
    /// did.
    pub(super) async fn keep_after_passkey(
        &self,
        user: &User,
        ticket: &Ticket,
        passkey_use: &PasskeyUse,
    ) -> Result<bool> {
        let now = self.live.now();
        let mut tx = self.store.write().await?;
        if !tx.user_hold(&user.id, user.security_version).await? {
            return Err(Error::Conflict);
        }
        if !tx.ticket_insert_once(ticket).await? {
            return Ok(false);
        }
        if !tx.passkey_use(passkey_use, now).await? {
            return Err(Error::Conflict);
        }
        tx.commit().await.map(|_| true)
    }
}
