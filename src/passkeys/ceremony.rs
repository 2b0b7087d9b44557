//! The states of ceremonies as the library wants them. It makes challenges itself and judges their age by the machine's
//! clock; ours come from forms and tickets, which have an age and an end of their own. So a state is made for each check,
//! and gets our challenge. That it did is checked, because where it stands is the library's affair.

use webauthn_rp::{
    DiscoverableAuthenticationServerState, DiscoverableCredentialRequestOptions,
    NonDiscoverableAuthenticationServerState, NonDiscoverableCredentialRequestOptions,
    PublicKeyCredentialCreationOptions, RegistrationServerState,
    bin::{Decode, Encode},
    request::{
        Credentials, ExtensionReq, PublicKeyCredentialDescriptor, RpId, TimedCeremony, UserVerificationRequirement,
        auth::{AllowedCredential, AllowedCredentials},
        register::{CoseAlgorithmIdentifier, ResidentKeyRequirement, UserHandle},
    },
    response::{AuthTransports, CredentialId, SentChallenge},
};

use super::{Challenge, PasskeyFault};
use crate::domain::passkey::{Credential, HANDLE};

/// Where the challenge stands in the state of a registration: behind one byte.
const IN_REGISTRATION: usize = 1;
/// Where it stands in the state of a sign-in.
const IN_SIGN_IN: usize = 0;

impl Challenge {
    fn sent(self) -> SentChallenge {
        SentChallenge(u128::from_le_bytes(self.0))
    }

    fn put_into(self, state: &mut [u8], at: usize) -> Result<(), PasskeyFault> {
        let place = state.get_mut(at..at + self.0.len()).ok_or(PasskeyFault::Other)?;
        place.copy_from_slice(&self.0);
        Ok(())
    }

    fn check_is_in(self, state: &impl TimedCeremony) -> Result<(), PasskeyFault> {
        if state.sent_challenge() == self.sent() { Ok(()) } else { Err(PasskeyFault::Other) }
    }
}

/// What authenticators call a user, as the library wants it.
pub(super) fn user_handle(handle: &[u8; HANDLE]) -> UserHandle<HANDLE> {
    match UserHandle::decode(*handle) {
        Ok(handle) => handle,
        Err(never) => match never {},
    }
}

/// The state of a registration.
pub(super) fn registration(
    rp: &RpId,
    challenge: Challenge,
    handle: &UserHandle<HANDLE>,
) -> Result<RegistrationServerState<HANDLE>, PasskeyFault> {
    let mut options = PublicKeyCredentialCreationOptions::first_passkey_with_blank_user_info(rp, handle);
    options.pub_key_cred_params = options.pub_key_cred_params.remove(CoseAlgorithmIdentifier::Es384);
    options.authenticator_selection.user_verification = UserVerificationRequirement::Preferred;
    options.authenticator_selection.resident_key = ResidentKeyRequirement::Preferred;
    options.extensions.cred_props = Some(ExtensionReq::Allow);
    options.extensions.cred_protect = webauthn_rp::request::register::CredProtect::None;
    let (state, _) = options.start_ceremony().map_err(|_| PasskeyFault::Other)?;
    let mut bytes = state.encode().map_err(|_| PasskeyFault::Other)?;
    challenge.put_into(&mut bytes, IN_REGISTRATION)?;
    let state = RegistrationServerState::decode(bytes.as_slice()).map_err(|_| PasskeyFault::Other)?;
    challenge.check_is_in(&state)?;
    Ok(state)
}

/// The state of a sign-in with a passkey alone, whose user must be verified.
pub(super) fn alone(rp: &RpId, challenge: Challenge) -> Result<DiscoverableAuthenticationServerState, PasskeyFault> {
    let options = DiscoverableCredentialRequestOptions::passkey(rp);
    let (state, _) = options.start_ceremony().map_err(|_| PasskeyFault::Other)?;
    let mut bytes = state.encode().map_err(|_| PasskeyFault::Other)?;
    challenge.put_into(&mut bytes, IN_SIGN_IN)?;
    let state = DiscoverableAuthenticationServerState::decode(&bytes).map_err(|_| PasskeyFault::Other)?;
    challenge.check_is_in(&state)?;
    Ok(state)
}

/// The state of a sign-in with a passkey as second factor: one of those named.
pub(super) fn second_factor(
    rp: &RpId,
    challenge: Challenge,
    allowed: &[Credential],
) -> Result<NonDiscoverableAuthenticationServerState, PasskeyFault> {
    let mut credentials = AllowedCredentials::with_capacity(allowed.len());
    for passkey in allowed {
        let id = CredentialId::decode(passkey.id.clone()).map_err(|_| PasskeyFault::Stored)?;
        let transports = AuthTransports::decode(0).map_err(|_| PasskeyFault::Other)?;
        credentials.push(AllowedCredential::from(PublicKeyCredentialDescriptor { id, transports }));
    }
    let mut options = NonDiscoverableCredentialRequestOptions::second_factor(rp, credentials)
        .map_err(|_| PasskeyFault::Credential)?;
    options.options().user_verification = UserVerificationRequirement::Preferred;
    let (state, _) = options.start_ceremony().map_err(|_| PasskeyFault::Other)?;
    let mut bytes = state.encode().map_err(|_| PasskeyFault::Other)?;
    challenge.put_into(&mut bytes, IN_SIGN_IN)?;
    let state = NonDiscoverableAuthenticationServerState::decode(&bytes).map_err(|_| PasskeyFault::Other)?;
    challenge.check_is_in(&state)?;
    Ok(state)
}
