//! Audit events: an append-only record of every security-relevant act.

use serde_json::Value;

use crate::{
    id::{AuditEventId, SessionId},
    time::Timestamp,
};

/// Who did something, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// A user's subject, a client's id, or one of [`Actor::RESERVED`].
    pub name: String,
    /// The client through which a user acted.
    pub client: Option<String>,
    /// The address it came from, if from a network.
    pub address: String,
}

impl Actor {
    /// Names that are nobody's subject and no client's id.
    pub const RESERVED: [&str; 2] = ["command", "system"];

    /// Somebody at the machine itself.
    #[must_use]
    pub fn command() -> Self {
        Self::named("command")
    }

    /// This server, by itself.
    #[must_use]
    pub fn system() -> Self {
        Self::named("system")
    }

    /// A client or user whose address does not count.
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

            /// The name in the database, in the API and in logs.
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
    /// A session was revoked; the details name the cause.
    SessionRevoked = "SESSION_REVOKED",
    /// A refresh token was presented that had been exchanged before.
    RefreshTokenReused = "REFRESH_TOKEN_REUSED",
    /// Too many have guessed at an account: its sign-ins from unknown devices wait long, or are over.
    AccountThrottled = "ACCOUNT_THROTTLED",
    /// A refresh token was newer than the database: commits were lost.
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
    /// The database was claimed for an issuer.
    InstanceCreated = "INSTANCE_CREATED",
    /// The deployment was given another issuer.
    IssuerChanged = "ISSUER_CHANGED",
    /// A user's names, addresses or attributes were changed.
    UserUpdated = "USER_UPDATED",
    /// A user was deleted.
    UserDeleted = "USER_DELETED",
    /// A user has to choose a new password.
    PasswordResetStarted = "PASSWORD_RESET_STARTED",
    /// Somebody opened an account.
    UserRegistered = "USER_REGISTERED",
    /// A user took another address for its own.
    EmailChanged = "EMAIL_CHANGED",
    /// A user or a client was given a role.
    RoleAssigned = "ROLE_ASSIGNED",
    /// A role was taken from a user or a client.
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
    /// Users of another system were brought along; the details say how many.
    UsersImported = "USERS_IMPORTED",
    /// A key of another issuer is published among this server's.
    KeyTrusted = "KEY_TRUSTED",
}

impl AuditKind {
    /// The kind of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.as_str() == text)
    }

    /// Whether the act was refused; every other was done.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::RefreshTokenReused | Self::AccountThrottled)
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
    /// Who did it.
    pub actor: Actor,
    /// To whom or what.
    pub subject: String,
    /// In which session.
    pub session: Option<SessionId>,
    /// More, by kind; never a secret.
    pub details: Value,
}
