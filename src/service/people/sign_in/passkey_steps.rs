//! Passkeys at the steps of a sign-in: as second factor, and as one that is set up. What is signed follows from the ticket
//! and its revision, so that it is of one step alone.

use super::{
    SignInStep, SignIns,
    passkey::{Wrong, method},
    state::{PendingSignIn, SignInState},
};
use crate::{
    domain::{
        client::Client,
        factor::Method,
        passkey::{Credential, PasskeyUse, UserHandle},
        ticket::Ticket,
    },
    error::{Error, Result},
    id::UserId,
    keys::passkey_login::challenge_of_step,
    passkeys::{Challenge, PasskeyFault, Purpose, Signed, creation_options, register, request_options},
    secret::PasskeyResponse,
    service::people::{
        passkey_factors::{relying_party, relying_party_of},
        tickets::CODE_INVALID,
    },
    store::Tx,
};

/// A passkey that was made at a step.
pub(super) struct MadePasskey {
    pub(super) credential: Credential,
    pub(super) host: String,
    /// What authenticators call its user.
    pub(super) handle: UserHandle,
    /// What it has proved.
    pub(super) method: Method,
}

impl SignIns {
    /// What a passkey is asked at the step that is next; nothing if it takes none.
    pub(super) fn passkey_options(&self, client: &Client, ticket: &Ticket, state: &SignInState) -> Option<String> {
        let rp = relying_party_of(client)?;
        let challenge = self.challenge_at(ticket).ok()?;
        let passkeys = &state.passkeys;
        match state.steps.first()? {
            SignInStep::Mfa if passkeys.any() => {
                Some(request_options(&rp, challenge, &passkeys.credentials(), Purpose::SecondFactor))
            }
            SignInStep::Enrol => Some(creation_options(&rp, challenge, (&passkeys.handle()?, &state.login), &[])),
            _ => None,
        }
    }

    fn challenge_at(&self, ticket: &Ticket) -> Result<Challenge> {
        Ok(Challenge::of(challenge_of_step(self.tickets.key_of(ticket)?, &ticket.id, ticket.revision)))
    }

    /// Checks what a passkey has signed as second factor.
    pub(super) async fn match_passkey(
        &self,
        client: &Client,
        pending: &PendingSignIn,
        signed: &Signed,
    ) -> Result<std::result::Result<(Method, PasskeyUse), Wrong>> {
        let rp = relying_party(client)?;
        let id = signed.credential_id();
        let mut tx = self.store.read().await?;
        let own = tx.passkeys_of(&pending.user).await?.into_iter();
        let passkey = own.into_iter().find(|passkey| passkey.host == rp.host() && passkey.credential.id == id);
        let handle = tx.passkey_handle_of(&pending.user).await?;
        let user = tx.user_by_id(&pending.user).await?;
        drop(tx);
        let unknown = Wrong::unknown(PasskeyFault::Credential);
        let Some(((passkey, handle), user)) = passkey.zip(handle).zip(user) else { return Ok(Err(unknown)) };
        let challenge = self.challenge_at(&pending.ticket)?;
        Ok(match signed.check(&rp, challenge, &handle, &passkey.credential) {
            Ok(shown) => {
                let (method, before) = (method(&shown), passkey.credential.dynamic_state);
                Ok((method, PasskeyUse { id: passkey.id, before, after: shown.dynamic_state }))
            }
            Err(fault) => Err(Wrong::of(fault, &passkey.id, user.subject)),
        })
    }

    /// Checks a passkey that was made at a step.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`](crate::error::Reason::CodeInvalid).
    pub(super) fn made_passkey(
        &self,
        client: &Client,
        pending: &PendingSignIn,
        response: &PasskeyResponse,
    ) -> Result<MadePasskey> {
        let rp = relying_party(client)?;
        let handle = pending.state.passkeys.handle().ok_or(CODE_INVALID)?;
        let made = register(&rp, self.challenge_at(&pending.ticket)?, &handle, response.expose()).map_err(|fault| {
            tracing::debug!(client = %client.id, %fault, "a new passkey was refused");
            CODE_INVALID
        })?;
        let method = Method::Passkey { hardware: !made.can_be_copied, verified: made.verified };
        Ok(MadePasskey { credential: made.stored, host: rp.host().to_owned(), handle, method })
    }

    /// Has authenticators call the user what a passkey that was made calls them.
    ///
    /// # Errors
    /// [`Error::Conflict`] if they have come to call the user something else.
    pub(super) async fn keep_handle(&self, tx: &mut Tx, user: &UserId, handle: &UserHandle) -> Result<()> {
        let kept = tx.passkey_handle(user, handle).await?;
        if kept.as_ref() == Some(handle) { Ok(()) } else { Err(Error::Conflict) }
    }
}
