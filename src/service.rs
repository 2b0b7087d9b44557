//! Use cases, one file each. Imports `domain`, `store`, `keys`, `passwords`, `mail` and below; never tonic,
//! prost or axum. Both edges call this.

mod accounts;
mod administer;
mod audit;
mod authenticate;
mod broadcast;
mod client_token;
mod clients;
mod creations;
mod import;
mod issuer;
mod limits;
mod live;
mod logout;
mod mails;
mod mint;
mod refresh;
mod revoke_key;
mod roles;
mod rotate_keys;
mod session_writer;
mod sessions;
mod settings;
mod sign_in;
mod start;
mod status_lists;
mod sweep;
mod tickets;
mod tokens;
mod trust_keys;
mod users;
mod watch;
mod watch_keys;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

pub use self::{
    accounts::{Me, MePatch, RegisterInput},
    administer::{Act, Admin, FRESH_SIGN_IN},
    audit::AuditWatcher,
    authenticate::{Caller, ClientCredentials, Permit},
    broadcast::{News, Told},
    client_token::ClientTokenRequest,
    clients::{ClientPatch, NewClientRequest},
    creations::Creation,
    import::{ImportOutcome, ImportRow, MOST_IMPORTED, Rehearsal},
    limits::{Attempt, Guesser, LimitFigures, Limits},
    live::{Live, Revoked, Snapshot},
    mails::{Delivery, Fate},
    mint::{IssuedToken, TokenPair},
    refresh::RefreshInput,
    revoke_key::KeyRevocation,
    roles::{NewRoleRequest, RolePatch},
    rotate_keys::RotationPlan,
    sign_in::{Challenge, NextStep, SignInRequest, SignedIn, Step},
    start::{StartError, StartOptions},
    status_lists::PublishedList,
    sweep::{Sweep, Swept},
    tickets::{Pending, Presented},
    trust_keys::ForeignKeyText,
    users::{NewUserRequest, UserPatch, UserView},
    watch::{Sent, WATCH, Watcher},
    watch_keys::KeyWatcher,
};
use crate::{
    entropy::Entropy,
    error::{Error, Result},
    id::RequestId,
    keys::SealingKey,
    passwords::Passwords,
    store::Store,
    time::Timestamp,
};
pub use crate::{
    keys::Keyring,
    mail::{Kept, KeptMail, Post},
    store::{AuditFilter, ClaimedMail, MailsWaiting, NameRange, UserFilter},
};
use chancery_verify::CheckedTokens;
use tokio::sync::Semaphore;

/// What is known about a call before its message is looked at.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// When it arrived.
    pub now: Timestamp,
    /// Its id, for logs and INTERNAL errors.
    pub request_id: RequestId,
    /// When its caller gives up.
    pub deadline: Option<tokio::time::Instant>,
    /// The address it came from, as text.
    pub peer: String,
    /// Who it turned out to be, for the log: a client's id, or a user's subject.
    pub caller: CallerName,
}

/// Set once the caller has proved, or as a public client told, who it is.
#[derive(Clone, Debug, Default)]
pub struct CallerName(Arc<OnceLock<String>>);

impl CallerName {
    /// Notes the name; the first one stays.
    pub(crate) fn set(&self, name: &str) {
        let _ = self.0.set(name.to_owned());
    }

    /// The name; empty if nobody is known to call.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get().map_or("", String::as_str)
    }
}

/// How often a transaction that met another is run before its caller is told.
const TRIES: usize = 5;

/// The service: everything that Chancery does, without a protocol.
#[derive(Clone)]
pub struct Service {
    store: Store,
    live: Arc<Live>,
    writer: session_writer::SessionWriter,
    sealing: Arc<SealingKey>,
    passwords: Passwords,
    limits: Limits,
    entropy: Arc<dyn Entropy>,
    issuer: Arc<str>,
    dev: bool,
    lists: Arc<status_lists::StatusLists>,
    checked: Arc<CheckedTokens>,
    slow_signers: Arc<Semaphore>,
}

/// How many tokens are remembered whose signature was good: 20 MB at most.
const CHECKED_TOKENS: usize = 10_000;

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Service {
    /// The issuer, as in `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether the database is marked `dev`.
    #[must_use]
    pub fn is_dev(&self) -> bool {
        self.dev
    }

    /// What is held in memory.
    #[must_use]
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// The store, for tests and for work that follows the feed.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The threads that hash.
    #[must_use]
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// How often anybody may guess.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A context for work that no caller asked for.
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

    /// Whether the call's deadline has passed: then nothing is written for it.
    fn in_time(ctx: &RequestContext) -> Result<()> {
        match ctx.deadline {
            Some(at) if tokio::time::Instant::now() >= at => Err(Error::DeadlineExceeded),
            _ => Ok(()),
        }
    }
}
