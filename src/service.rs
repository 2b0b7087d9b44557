//! The use cases. Every edge calls this module. It imports `domain`, `store`, `keys`, `passwords`, `mail` and what
//! lies below them, never tonic, prost or axum.
//!
//! The folders import each other in one direction only: `runtime ← access ← tokens, signing_keys ← people ← admin, browser`.
//! This file and `start` assemble them.

mod access;
mod admin;
mod browser;
mod people;
mod runtime;
mod signing_keys;
mod start;
mod tokens;

use std::{fmt, ops::Deref, sync::Arc};

pub use self::{
    access::{
        ACCESS, Access, Act, Admin, CallerName, Callers, CallingClient, ClientCredentials, DataCaller, FRESH_SIGN_IN,
        HttpRpc, IMPORT_USERS, Me, Method, Permit, RequestContext, WATCH_REVOCATIONS, method,
    },
    admin::{
        ACCOUNT_CLIENT, ACCOUNT_NAME, AccountClient, Audit, AuditExport, AuditWatcher, ClientPatch, Clients,
        CostlyHashes, CreationKey, Declarations, Dropped, DryRun, Import, ImportOutcome, ImportRow, InstanceSettings,
        MAX_IMPORT_BATCH, NewClientRequest, NewRoleRequest, NewUserRequest, Remembered, Resealed, ResetStarted,
        RolePatch, Roles, Rotated, Sealing, Setting, SettingUnit, ToRemember, UserPasswordReset, UserPatch, Users,
        VersionListed, check_new_client, check_new_role, check_new_user, permission_names,
    },
    browser::{
        AccountForm, Browser, BrowserSession, EndedSession, FactorAdded, FoundFlow, HEADERS, Identity,
        NewPasswordAtSite, PasskeyForm, PasswordChanged, ResetOutcome, SignInForm, SignInOutcome, SiteAccounts,
        VerifyOutcome, Visitor, empty_headers, lacks_second_factor, suffices,
    },
    people::{
        Accounts, AtSite, Attempt, Awaited, BrowserGoal, Challenge, Continued, DataAt, DataStored, Device, FormProof,
        GuessAudit, GuestFigures, GuestRequest, KeptData, LimitFigures, Limits, MailedLink, MayChangeFactors, MePatch,
        NewCookies, NewFactor, NewGuest, NextStep, Once, OwnData, OwnFactors, PagePasskey, PageSignIn, PageSignedIn,
        PageStep, PasskeyChallenge, PasskeyEnrolment, PasskeyLoginRequest, PasswordReset, PendingTicket,
        PresentSession, PresentedTicket, RegisterInput, ResetRequest, SignInRequest, SignInStep, SignIns, SignedIn,
        SiteRegistration, SiteVerification, StepAtPage, StepField, StepInput, StepPlace, StepTaken, StepTyped,
        StepUpRequest, StepsEnd, TotpEnrolment, TotpSetup, UpgradeRequest, UsedBefore, UserView, VerifiedAtSite,
        VerifyEmailInput, Waiting, Whose,
    },
    runtime::{
        Delivery, DeliveryOutcome, Live, Notice, NoticeKind, Outbox, Presence, Revoked, Snapshot, SweepProgress,
        SweepStep, Sweeper,
    },
    signing_keys::{ForeignKeyText, KeyRevocation, KeyWatcher, RotationPlan, SigningKeys, TrustedKeys},
    start::{StartError, StartOptions},
    tokens::{
        ClientTokenRequest, IssuedToken, PublishedList, RefreshInput, Revocations, ServedList, SessionsEnded,
        SizeFigures, SnapshotPart, StatusLists, TOKEN_SIZES, TokenFault, TokenPair, Tokens, WatchMessage, Watcher,
    },
};
pub use crate::keys::{Keyring, LeftOut, MAX_FOREIGN_TEXT, form_token::FormPurpose};
use crate::{entropy::Entropy, id::RequestId, passwords::Passwords, store::Store, time::Timestamp};

/// Everything Chancery does, independent of any protocol. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<UseCases>);

/// The use cases, each a type of its own.
pub struct UseCases {
    /// Authenticates callers and decides which methods they may call.
    pub callers: Callers,
    /// Signing people in.
    pub sign_ins: SignIns,
    /// People's own accounts.
    pub accounts: Arc<Accounts>,
    /// People's own accounts, at the pages of a site.
    pub site_accounts: SiteAccounts,
    /// Sessions behind cookies.
    pub browser: Browser,
    /// What applications keep with sessions and users.
    pub data: KeptData,
    /// Token refresh, revocation and introspection.
    pub tokens: Arc<Tokens>,
    /// The revocation stream, for verifiers that subscribe to it.
    pub revocations: Revocations,
    /// The status lists, for verifiers that poll for revocations.
    pub status_lists: StatusLists,
    /// The signing keys.
    pub signing_keys: SigningKeys,
    /// Administering users.
    pub users: Users,
    /// Administering clients.
    pub clients: Clients,
    /// Administering roles.
    pub roles: Roles,
    /// The audit log.
    pub audit: Audit,
    /// Importing users from another system.
    pub import: Import,
    /// The deployment's settings and issuer.
    pub instance: InstanceSettings,
    /// What files have declared.
    pub declarations: Declarations,
    /// The versions of the sealing key.
    pub sealing: Sealing,
    /// This process, among those that run on the database.
    pub presence: Presence,
    /// Outgoing mail.
    pub outbox: Outbox,
    /// Deletion of expired rows.
    pub sweeper: Sweeper,
    /// Limits on failed sign-in attempts.
    pub limits: Limits,
    /// The threads that hash passwords.
    pub passwords: Passwords,
    /// The in-memory state.
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

    /// The store, for tests and for jobs that follow the feed.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Creates the context of a call that has just arrived.
    #[must_use]
    pub fn context(&self) -> RequestContext {
        let now = self.now();
        RequestContext {
            now,
            request_id: RequestId::new(now, &*self.entropy),
            deadline: None,
            peer: String::new(),
            user_agent: String::new(),
            language: None,
            origin: None,
            caller: CallerName::default(),
        }
    }

    /// The current time, by the clock that all processes on one database share.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.live.now()
    }
}
