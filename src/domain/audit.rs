//! Audit events: an append-only record of everything relevant to security, kept for ever or as long as a setting says.

use serde_json::Value;

use crate::{
    id::{AuditEventId, SessionId},
    time::Timestamp,
};

/// Who acted, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// A user's subject, a client's id, or one of [`Actor::RESERVED`].
    pub name: String,
    /// The client through which a user acted.
    pub client: Option<String>,
    /// The network address; empty if the request did not come over a network.
    pub address: String,
}

impl Actor {
    /// Names that no subject and no client id may have.
    pub const RESERVED: [&str; 2] = ["command", "system"];

    /// Somebody at the command line of the machine itself.
    #[must_use]
    pub fn command() -> Self {
        Self::named("command")
    }

    /// This server, on its own account.
    #[must_use]
    pub fn system() -> Self {
        Self::named("system")
    }

    /// A client or user, without an address.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum AuditKind { $($(#[$doc])* $name,)* }

        impl AuditKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in the database, the API and the logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// A user signed in.
    SignedIn = "SIGNED_IN",
    /// A passkey's counter of signatures went back: it was copied, perhaps. The sign-in was refused.
    PasskeySuspected = "PASSKEY_SUSPECTED",
    /// A session was revoked; the details name the cause.
    SessionRevoked = "SESSION_REVOKED",
    /// A refresh token was presented again after it had been exchanged.
    RefreshTokenReused = "REFRESH_TOKEN_REUSED",
    /// Too many attempts at an account failed: sign-ins from unknown devices wait long, or are refused.
    AccountThrottled = "ACCOUNT_THROTTLED",
    /// A refresh token was newer than the database, which had lost commits.
    SessionFastForwarded = "SESSION_FAST_FORWARDED",
    /// A user was created.
    UserCreated = "USER_CREATED",
    /// A user was disabled.
    UserDisabled = "USER_DISABLED",
    /// A user was enabled.
    UserEnabled = "USER_ENABLED",
    /// A user's password was set.
    PasswordSet = "PASSWORD_SET",
    /// A client was created.
    ClientCreated = "CLIENT_CREATED",
    /// A client was disabled.
    ClientDisabled = "CLIENT_DISABLED",
    /// A client was enabled.
    ClientEnabled = "CLIENT_ENABLED",
    /// Signing keys were created, activated, retired or removed.
    KeysRotated = "KEYS_ROTATED",
    /// A signing key was revoked.
    KeyRevoked = "KEY_REVOKED",
    /// A shared setting was changed.
    SettingChanged = "SETTING_CHANGED",
    /// A new database was claimed for an issuer.
    InstanceCreated = "INSTANCE_CREATED",
    /// The issuer of the deployment was changed.
    IssuerChanged = "ISSUER_CHANGED",
    /// A user's names, addresses or attributes were changed.
    UserUpdated = "USER_UPDATED",
    /// A user was deleted.
    UserDeleted = "USER_DELETED",
    /// A user was required to choose a new password.
    PasswordResetStarted = "PASSWORD_RESET_STARTED",
    /// Somebody registered an account.
    UserRegistered = "USER_REGISTERED",
    /// A user's email address was changed.
    EmailChanged = "EMAIL_CHANGED",
    /// A user or a client was given a role.
    RoleAssigned = "ROLE_ASSIGNED",
    /// A role was removed from a user or a client.
    RoleUnassigned = "ROLE_UNASSIGNED",
    /// A role was created.
    RoleCreated = "ROLE_CREATED",
    /// A role was changed.
    RoleUpdated = "ROLE_UPDATED",
    /// A role was deleted.
    RoleDeleted = "ROLE_DELETED",
    /// A client was changed.
    ClientUpdated = "CLIENT_UPDATED",
    /// A client was deleted.
    ClientDeleted = "CLIENT_DELETED",
    /// A client was given a new secret.
    ClientSecretRotated = "CLIENT_SECRET_ROTATED",
    /// Users of another system were imported; the details say how many.
    UsersImported = "USERS_IMPORTED",
    /// A key of another issuer was added to the published keys.
    KeyTrusted = "KEY_TRUSTED",
    /// A copy of the whole database was begun.
    BackupStarted = "BACKUP_STARTED",
    /// The database was restored from a copy; the details say of when, and how many sessions were ended.
    DatabaseRestored = "DATABASE_RESTORED",
    /// Audit events older than the setting were deleted; the details say up to when.
    AuditEventsDeleted = "AUDIT_EVENTS_DELETED",
    /// A second factor of a user was set up.
    FactorAdded = "FACTOR_ADDED",
    /// A second factor of a user was removed.
    FactorRemoved = "FACTOR_REMOVED",
    /// A user was given new recovery codes in place of the old ones.
    RecoveryCodesReplaced = "RECOVERY_CODES_REPLACED",
    /// A user has signed in with a recovery code.
    RecoveryCodeUsed = "RECOVERY_CODE_USED",
    /// A server started with a sealing key that the database did not know: it has a version now.
    SealingKeyAdded = "SEALING_KEY_ADDED",
    /// Another version of the sealing key came into use.
    SealingKeyRotated = "SEALING_KEY_ROTATED",
    /// A version of the sealing key was dropped; the details say how many sessions were ended.
    SealingKeyDropped = "SEALING_KEY_DROPPED",
}

impl AuditKind {
    /// The kind with this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.as_str() == text)
    }

    /// Whether the event records a refusal rather than something that was done.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::RefreshTokenReused | Self::AccountThrottled)
    }
}

/// One audit event.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// The id.
    pub id: AuditEventId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: AuditKind,
    /// Who acted.
    pub actor: Actor,
    /// The user, client or other thing concerned.
    pub subject: String,
    /// The session concerned.
    pub session: Option<SessionId>,
    /// More details, depending on the kind; never a secret.
    pub details: Value,
}

/// Which events to read. A field that is not set matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The kind of event.
    pub kind: Option<AuditKind>,
    /// Who acted.
    pub actor: Option<String>,
    /// The user, client or other thing concerned.
    pub subject: Option<String>,
    /// The session concerned.
    pub session: Option<SessionId>,
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}
