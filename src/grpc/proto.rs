//! The generated types.

use std::fmt;

/// Messages and services of `chancery.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated from proto/, where every item has its comment"
)]
pub mod pb {
    tonic::include_proto!("chancery.v1");
}

/// The descriptor set of `chancery.v1` and its imports, with comments.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Implements `Debug` for messages with secrets: it prints only their names.
macro_rules! redacted {
    ($($name:ident)*) => {
        $(impl fmt::Debug for pb::$name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), " { … }"))
            }
        })*
    };
}

redacted!(StartGuestSessionResponse UpgradeGuestRequest UpgradeGuestResponse
    StartStepUpRequest StartStepUpResponse LoginRequest LoginResponse TokenPair RefreshRequest LogoutRequest IssueClientTokenResponse IntrospectRequest
    RevokeRequest CreateUserRequest CreateClientResponse RotateClientSecretResponse LoginChallenge ContinueLoginRequest
    ContinueLoginResponse RegisterRequest VerifyEmailRequest ResetPasswordRequest ChangePasswordRequest
    RequestPasswordResetRequest ImportUsersRequest ImportedUser TotpSetup StartPasskeyLoginResponse PutSessionDataRequest GetSessionDataResponse
    EnrollTotpResponse ConfirmTotpRequest ConfirmTotpResponse RemoveMyFactorRequest RegenerateRecoveryCodesResponse
    StartPasskeyRegistrationResponse FinishPasskeyRegistrationRequest FinishPasskeyRegistrationResponse);

impl fmt::Debug for pb::login_response::Result {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tokens(pair) => pair.fmt(f),
            Self::Challenge(challenge) => challenge.fmt(f),
        }
    }
}

impl fmt::Debug for pb::upgrade_guest_response::Result {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tokens(pair) => pair.fmt(f),
            Self::Challenge(challenge) => challenge.fmt(f),
        }
    }
}

impl fmt::Debug for pb::continue_login_response::Result {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tokens(pair) => pair.fmt(f),
            Self::Challenge(challenge) => challenge.fmt(f),
        }
    }
}
