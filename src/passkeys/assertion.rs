//! The check of a sign-in with a passkey (WebAuthn §7.2).

use std::fmt;

use webauthn_rp::{
    AuthenticatedCredential, DiscoverableAuthentication64, NonDiscoverableAuthentication64,
    bin::{Decode, Encode},
    request::auth::AuthenticationVerificationOptions,
    response::{
        Backup, CredentialId,
        register::{DynamicState, StaticState},
    },
};

use super::{
    Challenge, MAX_RESPONSE, PasskeyFault, RelyingParty,
    ceremony::{self, user_handle},
    registration::infallible,
};
use crate::domain::passkey::{Credential, HANDLE};

/// The bit of authenticator data that says that the user was verified, and the byte it is in (WebAuthn §6.1).
const USER_VERIFIED: (usize, u8) = (32, 0b100);

/// What a passkey is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing else is asked for: the authenticator must verify its user, now and at an earlier time as well.
    Alone,
    /// The user has given the password already.
    SecondFactor,
}

/// What an authenticator has signed, not checked yet.
pub struct Signed(Kind);

enum Kind {
    Alone(DiscoverableAuthentication64),
    SecondFactor(NonDiscoverableAuthentication64),
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signed(…)")
    }
}

/// A passkey that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// What its use has changed.
    pub dynamic_state: Vec<u8>,
    /// Whether the authenticator has verified its user now.
    pub verified: bool,
    /// Whether it can leave the device that made it.
    pub can_be_copied: bool,
}

impl Signed {
    /// Reads what a browser has answered to [`request_options`](super::request_options).
    ///
    /// # Errors
    /// It is too large, or none.
    pub fn parse(response: &str, purpose: Purpose) -> Result<Self, PasskeyFault> {
        if response.len() > MAX_RESPONSE {
            return Err(PasskeyFault::TooLarge);
        }
        let (json, unreadable) = (response.as_bytes(), |_| PasskeyFault::Unreadable);
        let of_anybody = NonDiscoverableAuthentication64::from_json_relaxed(json).map_err(unreadable)?;
        Ok(Self(match purpose {
            Purpose::SecondFactor => Kind::SecondFactor(of_anybody),
            // The library's own parser takes `"userHandle": null` for a user, and panics once that user is asked for.
            Purpose::Alone if of_anybody.response().user_handle().is_none() => return Err(PasskeyFault::Unreadable),
            Purpose::Alone => Kind::Alone(DiscoverableAuthentication64::from_json_relaxed(json).map_err(unreadable)?),
        }))
    }

    /// The passkey that it says it was signed with: at most 1023 bytes.
    #[must_use]
    pub fn credential_id(&self) -> Vec<u8> {
        match &self.0 {
            Kind::Alone(signed) => signed.raw_id().as_ref().to_vec(),
            Kind::SecondFactor(signed) => signed.raw_id().as_ref().to_vec(),
        }
    }

    /// The user whom it names. Only a passkey that is used alone must name one.
    #[must_use]
    pub fn handle(&self) -> Option<[u8; HANDLE]> {
        let handle = match &self.0 {
            Kind::Alone(signed) => Some(signed.response().user_handle()),
            Kind::SecondFactor(signed) => signed.response().user_handle(),
        };
        handle.map(|handle| infallible(handle.encode()))
    }

    /// Checks it against a stored passkey of the user whom authenticators call `handle`.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn check(
        &self,
        rp: &RelyingParty,
        challenge: Challenge,
        handle: &[u8; HANDLE],
        stored: &Credential,
    ) -> Result<Used, PasskeyFault> {
        let id = rp.id().ok_or(PasskeyFault::RelyingParty)?;
        let handle = user_handle(handle);
        let credential = CredentialId::decode(stored.id.as_slice()).map_err(|_| PasskeyFault::Stored)?;
        let before = dynamic_state(stored)?;
        let fixed = StaticState::decode(stored.static_state.as_slice()).map_err(|_| PasskeyFault::Stored)?;
        let mut used =
            AuthenticatedCredential::new(credential, &handle, fixed, before).map_err(|_| PasskeyFault::Stored)?;
        let origins = [rp.origin()];
        let options = AuthenticationVerificationOptions::<'_, '_, &str, &str> {
            allowed_origins: &origins,
            error_on_unsolicited_extensions: false,
            // Who has given the password vouches for who unlocks the passkey from now on (P23).
            update_uv: matches!(self.0, Kind::SecondFactor(_)),
            ..AuthenticationVerificationOptions::default()
        };
        let data = match &self.0 {
            Kind::Alone(signed) => {
                if !before.user_verified {
                    return Err(PasskeyFault::NotVerified);
                }
                ceremony::alone(&id, challenge)?.verify(&id, signed, &mut used, &options)?;
                signed.response().authenticator_data()
            }
            Kind::SecondFactor(signed) => {
                let allowed = std::slice::from_ref(stored);
                let state = ceremony::second_factor(&id, challenge, allowed)?;
                state.verify(&id, signed, &mut used, &options)?;
                signed.response().authenticator_data()
            }
        };
        let after = used.dynamic_state();
        Ok(Used {
            dynamic_state: infallible(after.encode()).to_vec(),
            verified: data.get(USER_VERIFIED.0).is_some_and(|flags| flags & USER_VERIFIED.1 != 0),
            can_be_copied: !matches!(after.backup, Backup::NotEligible),
        })
    }
}

fn dynamic_state(stored: &Credential) -> Result<DynamicState, PasskeyFault> {
    let bytes = stored.dynamic_state.as_slice().try_into().map_err(|_| PasskeyFault::Stored)?;
    DynamicState::decode(bytes).map_err(|_| PasskeyFault::Stored)
}
