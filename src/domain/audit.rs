//! Audit events: an append-only record of every security-relevant act.

use serde_json::Value;

use crate::{
    id::{AuditEventId, SessionId},
    time::Timestamp,
};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditKind {
    /// A user signed in.
    SignedIn,
    /// A session was revoked; the details name the cause.
    SessionRevoked,
    /// A refresh token was presented that had been exchanged before.
    RefreshTokenReused,
    /// A refresh token was newer than the database: commits were lost.
    SessionFastForwarded,
    /// A user was created.
    UserCreated,
    /// A user was disabled.
    UserDisabled,
    /// A user was enabled.
    UserEnabled,
    /// A user's password was set.
    PasswordSet,
    /// A client was created.
    ClientCreated,
    /// A client was disabled.
    ClientDisabled,
    /// A client was enabled.
    ClientEnabled,
    /// Signing keys were created, activated, retired or removed.
    KeysRotated,
    /// A signing key was revoked.
    KeyRevoked,
    /// A shared setting was changed.
    SettingChanged,
    /// The database was claimed for an issuer.
    InstanceCreated,
    /// The deployment was given another issuer.
    IssuerChanged,
}

impl AuditKind {
    /// The name in the database and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedIn => "SIGNED_IN",
            Self::SessionRevoked => "SESSION_REVOKED",
            Self::RefreshTokenReused => "REFRESH_TOKEN_REUSED",
            Self::SessionFastForwarded => "SESSION_FAST_FORWARDED",
            Self::UserCreated => "USER_CREATED",
            Self::UserDisabled => "USER_DISABLED",
            Self::UserEnabled => "USER_ENABLED",
            Self::PasswordSet => "PASSWORD_SET",
            Self::ClientCreated => "CLIENT_CREATED",
            Self::ClientDisabled => "CLIENT_DISABLED",
            Self::ClientEnabled => "CLIENT_ENABLED",
            Self::KeysRotated => "KEYS_ROTATED",
            Self::KeyRevoked => "KEY_REVOKED",
            Self::SettingChanged => "SETTING_CHANGED",
            Self::InstanceCreated => "INSTANCE_CREATED",
            Self::IssuerChanged => "ISSUER_CHANGED",
        }
    }
}

/// One audit event.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Its id.
    pub id: AuditEventId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: AuditKind,
    /// Who did it: a client, a user, or `command`.
    pub actor: String,
    /// To whom or what.
    pub subject: String,
    /// In which session.
    pub session: Option<SessionId>,
    /// More, by kind; never a secret.
    pub details: Value,
}
