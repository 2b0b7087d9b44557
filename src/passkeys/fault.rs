//! Why what a browser has sent is refused.

use webauthn_rp::response::{auth::error::AuthCeremonyErr, register::error::RegCeremonyErr};

/// Why an answer was refused. For the log and the audit: who has sent it learns that it was, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyFault {
    /// It is larger than any answer.
    #[error("too_large")]
    TooLarge,
    /// It cannot be read.
    #[error("unreadable")]
    Unreadable,
    /// It is for another challenge: a replay, perhaps.
    #[error("challenge")]
    Challenge,
    /// It was made at another origin, or in a frame of one.
    #[error("origin")]
    Origin,
    /// It is for another host.
    #[error("rp_id")]
    RelyingParty,
    /// The authenticator has not verified its user, which this use needs.
    #[error("not_verified")]
    NotVerified,
    /// The kind of key was not offered.
    #[error("algorithm")]
    Algorithm,
    /// Whether the passkey can be copied is not what it was at its registration, or contradicts itself.
    #[error("backup")]
    Backup,
    /// It is signed with another key.
    #[error("signature")]
    Signature,
    /// It names another user.
    #[error("user_handle")]
    UserHandle,
    /// The passkey is none of those that may be used.
    #[error("credential")]
    Credential,
    /// The counter of signatures has gone back: the passkey was copied, perhaps.
    #[error("counter")]
    Counter,
    /// Anything else that the rules forbid.
    #[error("refused")]
    Other,
    /// What is stored about the passkey cannot be read.
    #[error("stored")]
    Stored,
}

impl From<RegCeremonyErr> for PasskeyFault {
    fn from(error: RegCeremonyErr) -> Self {
        use RegCeremonyErr as E;
        match error {
            E::CollectedClientData(_) | E::CollectedClientDataRelaxed(_) | E::AttestationObject(_) | E::PubKey(_) => {
                Self::Unreadable
            }
            E::AttestationSignature => Self::Signature,
            E::OriginMismatch | E::CrossOrigin | E::TopOriginMismatch => Self::Origin,
            E::ChallengeMismatch => Self::Challenge,
            E::RpIdHashMismatch => Self::RelyingParty,
            E::UserNotVerified => Self::NotVerified,
            E::BackupEligible | E::BackupNotEligible | E::BackupDoesNotExist => Self::Backup,
            E::PublicKeyAlgorithmMismatch => Self::Algorithm,
            _ => Self::Other,
        }
    }
}

impl From<AuthCeremonyErr> for PasskeyFault {
    fn from(error: AuthCeremonyErr) -> Self {
        use AuthCeremonyErr as E;
        match error {
            E::CollectedClientData(_) | E::CollectedClientDataRelaxed(_) | E::AuthenticatorData(_) => Self::Unreadable,
            E::PubKey(_) => Self::Stored,
            E::AssertionSignature => Self::Signature,
            E::OriginMismatch | E::CrossOrigin | E::TopOriginMismatch => Self::Origin,
            E::ChallengeMismatch => Self::Challenge,
            E::RpIdHashMismatch => Self::RelyingParty,
            E::UserNotVerified => Self::NotVerified,
            E::BackupEligible | E::BackupNotEligible | E::BackupDoesNotExist => Self::Backup,
            E::SignatureCounter => Self::Counter,
            E::UserHandleMismatch | E::MissingUserHandle => Self::UserHandle,
            E::CredentialIdMismatch | E::NoMatchingAllowedCredential => Self::Credential,
            _ => Self::Other,
        }
    }
}
