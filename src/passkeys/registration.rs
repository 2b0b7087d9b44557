//! The check of a new passkey (WebAuthn §7.1).

use webauthn_rp::{
    Registration,
    bin::Encode,
    request::register::RegistrationVerificationOptions,
    response::{AuthTransports, AuthenticatorTransport, Backup},
};

use super::{
    Challenge, MAX_RESPONSE, PasskeyFault, RelyingParty,
    ceremony::{self, user_handle},
};
use crate::domain::passkey::{Credential, HANDLE};

/// A passkey that was just made.
#[derive(Debug)]
pub struct NewPasskey {
    /// What is stored about it.
    pub stored: Credential,
    /// Whether its authenticator has verified the user.
    pub verified: bool,
    /// Whether it can leave the device that made it.
    pub can_be_copied: bool,
}

/// Checks what a browser has answered to [`creation_options`](super::creation_options): type, challenge, origin, host,
/// presence, the kind of key, the consistency of what it says about backups, and a self attestation if there is one.
///
/// # Errors
/// Whatever is wrong with it.
pub fn register(
    rp: &RelyingParty,
    challenge: Challenge,
    handle: &[u8; HANDLE],
    response: &str,
) -> Result<NewPasskey, PasskeyFault> {
    if response.len() > MAX_RESPONSE {
        return Err(PasskeyFault::TooLarge);
    }
    let id = rp.id().ok_or(PasskeyFault::RelyingParty)?;
    let registration = Registration::from_json_relaxed(response.as_bytes()).map_err(|_| PasskeyFault::Unreadable)?;
    let origins = [rp.origin()];
    let options = RegistrationVerificationOptions::<'_, '_, &str, &str> {
        allowed_origins: &origins,
        // Extensions that were not asked for are no reason to refuse: some password managers add theirs.
        error_on_unsolicited_extensions: false,
        ..RegistrationVerificationOptions::default()
    };
    let made = ceremony::registration(&id, challenge, &user_handle(handle))?.verify(&id, &registration, &options)?;
    let dynamic = made.dynamic_state();
    Ok(NewPasskey {
        stored: Credential {
            id: made.id().as_ref().to_vec(),
            static_state: infallible(made.static_state().encode()),
            dynamic_state: infallible(dynamic.encode()).to_vec(),
            transports: names(made.transports()),
        },
        verified: dynamic.user_verified,
        can_be_copied: !matches!(dynamic.backup, Backup::NotEligible),
    })
}

fn names(transports: AuthTransports) -> String {
    use AuthenticatorTransport as T;
    let all = [
        (T::Ble, "ble"),
        (T::Hybrid, "hybrid"),
        (T::Internal, "internal"),
        (T::Nfc, "nfc"),
        (T::SmartCard, "smart-card"),
        (T::Usb, "usb"),
    ];
    let names: Vec<_> = all.into_iter().filter(|(t, _)| transports.contains(*t)).map(|(_, name)| name).collect();
    names.join(" ")
}

pub(super) fn infallible<T>(result: Result<T, std::convert::Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
