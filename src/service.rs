//! Use cases. Imports `domain`, `store`, `keys`, `passwords`, `mail` and below; never tonic, prost or axum. Every
//! edge calls this.
//!
//! The folders import each other in one direction only:
//! `runtime ← access ← tokens, signing_keys ← people ← admin`; this file and `start` put them together.

mod access;
mod admin;
mod people;
mod runtime;
mod signing_keys;
mod start;
mod tokens;

use std::{fmt, ops::Deref, sync::Arc};

pub use self::{
    access::{
        ACCESS, Access, Act, Admin, CallerName, Callers, CallingClient, ClientCredentials, FRESH_SIGN_IN, IMPORT_USERS,
        Me, Method, Permit, RequestContext, WATCH_REVOCATIONS, method,
    },
    admin::{
        Audit, AuditWatcher, ClientPatch, Clients, Creation, Import, ImportOutcome, ImportRow, InstanceSettings,
        MOST_IMPORTED, NewClientRequest, NewRoleRequest, NewUserRequest, Rehearsal, ResetOf, ResetStarted, RolePatch,
        Roles, UserPatch, Users,
    },
    people::{
        Accounts, Attempt, Challenge, Device, Guesser, LimitFigures, Limits, MePatch, NextStep, PasswordReset, Pending,
        Presented, RegisterInput, ResetRequest, SignInRequest, SignInStep, SignIns, SignedIn, UserView,
    },
    runtime::{Delivery, Fate, Live, News, Outbox, Revoked, Snapshot, Sweep, Sweeper, Swept, Told},
    signing_keys::{ForeignKeyText, KeyRevocation, KeyWatcher, RotationPlan, SigningKeys},
    start::{StartError, StartOptions},
    tokens::{
        ClientTokenRequest, IssuedToken, PublishedList, RefreshInput, Revocations, Sent, StatusLists, TokenPair,
        Tokens, Watcher,
    },
};
pub use crate::keys::Keyring;
use crate::{entropy::Entropy, id::RequestId, passwords::Passwords, store::Store, time::Timestamp};

/// Everything that Chancery does, without a protocol. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<UseCases>);

/// The use cases, each a type of its own.
pub struct UseCases {
    /// Who calls, and whether a caller may call a method.
    pub callers: Callers,
    /// Signing people in.
    pub sign_ins: SignIns,
    /// People's own accounts.
    pub accounts: Accounts,
    /// Refreshing, ending and asking about tokens.
    pub tokens: Arc<Tokens>,
    /// What is revoked, for verifiers that follow it.
    pub revocations: Revocations,
    /// What is revoked, for verifiers that fetch it.
    pub status_lists: StatusLists,
    /// The signing keys.
    pub signing_keys: SigningKeys,
    /// Administering users.
    pub users: Users,
    /// Administering clients.
    pub clients: Clients,
    /// Administering roles.
    pub roles: Roles,
    /// What was done.
    pub audit: Audit,
    /// Users of another system.
    pub import: Import,
    /// Settings and issuer of the deployment.
    pub instance: InstanceSettings,
    /// Outgoing mail.
    pub outbox: Outbox,
    /// Deleting what has expired.
    pub sweeper: Sweeper,
    /// How often anybody may guess.
    pub limits: Limits,
    /// The threads that hash passwords.
    pub passwords: Passwords,
    /// What is held in memory.
    pub live: Arc<Live>,
    store: Store,
    entropy: Arc<dyn Entropy>,
    dev: bool,
}

impl Deref for Service {
    type Target = UseCases;
    fn deref(&self) -> &UseCases {
        &self.0
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("issuer", &self.issuer()).finish_non_exhaustive()
    }
}

impl fmt::Debug for UseCases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UseCases")
    }
}

impl UseCases {
    /// The issuer, as in `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.live.issuer()
    }

    /// Whether the database is marked `dev`.
    #[must_use]
    pub fn is_dev(&self) -> bool {
        self.dev
    }

    /// The store, for tests and for work that follows the feed.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A context for a call that has just arrived.
    #[must_use]
    pub fn context(&self) -> RequestContext {
        let now = self.now();
        RequestContext {
            now,
            request_id: RequestId::new(now, &*self.entropy),
            deadline: None,
            peer: String::new(),
            caller: CallerName::default(),
        }
    }

    /// The present instant, by the clock that all processes on one database share.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.live.now()
    }
}
