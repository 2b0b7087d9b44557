//! Opens a database: claims an empty one, checks one that is already claimed.

mod versions;

use std::sync::Arc;

use super::{
    Service, UseCases,
    access::Callers,
    admin::{Audit, Clients, Declarations, Import, InstanceSettings, Roles, Sealing, Users, UsersParts},
    browser::{Browser, BrowserParts, SiteAccounts},
    people::{Emails, Factors, KeptData, Limits, Parts, Tickets, TokenFit},
    runtime::{Live, Outbox, Presence, Runtime, SessionWriter, Sweeper},
    signing_keys::{SigningKeys, first_keys},
    tokens::{Minter, Revocations, StatusLists, Tokens},
};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        sealing::SealedRows,
        settings::Settings,
    },
    entropy::Entropy,
    error::{Error, Result},
    keys::{FIRST_SEALING_VERSION, SealingKey},
    passwords::Passwords,
    store::{BINARY_VERSION, Claim, Instance, Store},
    time::{Clock, Timestamp},
};

/// Why a database cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It was claimed with another sealing key.
    #[error(
        "the sealing key does not match the database: the key has the fingerprint {have}, the database was made with \
         {want}; start with the right --sealing-key-file"
    )]
    WrongSealingKey {
        /// The fingerprint of the key in use.
        have: String,
        /// The fingerprint of the key that the database was created with.
        want: String,
    },
    /// The keys are versions of the database's sealing key, but not the one in use.
    #[error(
        "the sealing key {have} is not the one in use, which is version {version}, {want}; start with that key as well, \
         by another --sealing-key-file"
    )]
    SealingKeyNotInUse {
        /// The fingerprints of the keys that were given, with their versions.
        have: String,
        /// The version in use.
        version: i64,
        /// The fingerprint of the key in use.
        want: String,
    },
    /// A version that is still needed was not given.
    #[error(
        "version {version} of the sealing key, {want}, is still needed for what was made before the last rotation; start \
         with that key as well, by another --sealing-key-file{or}", or = without_it(*.version, *.rows)
    )]
    SealingKeyNeeded {
        /// The version.
        version: i64,
        /// Its fingerprint.
        want: String,
        /// What is still sealed under it.
        rows: SealedRows,
    },
    /// A rotation was interrupted, and the key that its rows are still sealed under was not given.
    #[error(
        "signing keys are still sealed under version {version} of the sealing key, {want}, by a rotation that was not finished, \
         and only {have} was given; start with that key as well, by another --sealing-key-file, or finish the rotation with \
         both keys by `chancery sealing-key rotate`; nothing else opens them (the versions are: {known})"
    )]
    SealedUnderAnother {
        /// The fingerprints of the keys that were given, with their versions.
        have: String,
        /// The version that was not given.
        version: i64,
        /// Its fingerprint.
        want: String,
        /// Every version that was not dropped.
        known: String,
    },
    /// It belongs to another issuer.
    #[error(
        "the database belongs to the issuer {stored}, not {asked}; start without --issuer, or change it for good with \
         `chancery issuer set {asked}`"
    )]
    WrongIssuer {
        /// The stored issuer.
        stored: String,
        /// The requested issuer.
        asked: String,
    },
    /// It is a `dev` database.
    #[error(
        "the database was made by `serve --dev` and has a well-known password; serve it with --dev, or choose another"
    )]
    DevDatabase,
    /// It is not a `dev` database.
    #[error("--dev refuses a database that was not made by `serve --dev`; choose another --data-dir or --database")]
    NotDevDatabase,
    /// It needs a newer binary.
    #[error("this binary is too old for the database (schema version {0}); run a newer chancery")]
    TooOld(i64),
    /// The database is empty and no issuer was given to claim it for.
    #[error("an empty database needs --issuer https://…, the URL by which verifiers know this server")]
    IssuerNeeded,
    /// The database is missing or unclaimed, and claiming it is not allowed.
    #[error("the database is empty; run `chancery serve` once to set it up")]
    Empty,
    /// The database or another dependency failed.
    // Without `#[from]`: the text has it all, and who prints the causes as well would print it twice.
    #[error("{0}{source}", source = private(.0))]
    Failed(Error),
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl StartError {
    /// Whether another sealing key has to be given.
    #[must_use]
    pub const fn is_about_the_sealing_key(&self) -> bool {
        matches!(
            self,
            Self::WrongSealingKey { .. }
                | Self::SealingKeyNotInUse { .. }
                | Self::SealingKeyNeeded { .. }
                | Self::SealedUnderAnother { .. }
        )
    }
}

/// What to do where a version that is needed is lost. Its drop is refused while rows are sealed under it.
fn without_it(version: i64, rows: SealedRows) -> String {
    if rows.total() == 0 {
        return format!(", or drop it for good with `chancery sealing-key drop {version}`");
    }
    format!("; it cannot be dropped, because only that key opens what is still sealed under it ({rows})")
}

/// The operator who starts a process may see the private cause.
fn private(error: &Error) -> String {
    std::error::Error::source(error).map(|s| format!(": {s}")).unwrap_or_default()
}

/// How to open a database.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// The requested issuer.
    pub issuer: Option<String>,
    /// The issuer for an empty database if none is requested.
    pub default_issuer: Option<String>,
    /// Whether it must be, or become, a `dev` database; `None` accepts either.
    pub dev: Option<bool>,
    /// Whether an empty database may be claimed, as servers do. They register new sealing keys, too, and need every version
    /// that was not dropped; commands need the one in use.
    pub claim: bool,
}

impl Service {
    /// Opens a migrated database, claiming it first if it is empty.
    ///
    /// # Errors
    /// Each error names the mismatch and how to resolve it.
    pub async fn start(
        store: Store,
        sealing: Vec<SealingKey>,
        passwords: Passwords,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: &StartOptions,
    ) -> Result<Self, StartError> {
        // Boxed to keep the callers' futures small: it runs once and reads everything that is kept in memory.
        Box::pin(Self::start_on(store, sealing, passwords, clock, entropy, options)).await
    }

    async fn start_on(
        store: Store,
        sealing: Vec<SealingKey>,
        passwords: Passwords,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: &StartOptions,
    ) -> Result<Self, StartError> {
        let mut instance = store.read().await?.instance().await?;
        if instance.is_none() {
            if !options.claim {
                return Err(StartError::Empty);
            }
            let first = sealing.first().ok_or_else(|| Error::Internal("a start without a sealing key".into()))?;
            claim(&store, first, &entropy, now(&store, &*clock).await?, options).await?;
            instance = store.read().await?.instance().await?;
        }
        let instance = instance.ok_or(StartError::Empty)?;
        check_instance(&instance, options)?;
        let now = now(&store, &*clock).await?;
        let sealing = Arc::new(versions::find(&store, sealing, options.claim, now).await?);
        let live = Arc::new(Live::read(store.clone(), sealing.clone(), clock.clone()).await?);
        let runtime = Runtime { store, live, sealing, entropy };
        Ok(Self(Arc::new(use_cases(runtime, passwords, clock, instance.dev))))
    }
}

/// The current time, by the clock that all processes on the database share.
async fn now(store: &Store, clock: &dyn Clock) -> Result<Timestamp> {
    let time = store.read().await?.database_time().await?;
    Ok(time.filter(|_| clock.yields_to_database()).unwrap_or_else(|| clock.now()))
}

/// Assembles the use cases.
fn use_cases(runtime: Runtime, passwords: Passwords, clock: Arc<dyn Clock>, dev: bool) -> UseCases {
    let Runtime { store, live, sealing, entropy } = runtime.clone();
    let writer = SessionWriter::new(store.clone(), live.clone(), clock.clone());
    let callers = Callers::new(store.clone(), live.clone());
    let minter = Minter::new(live.clone(), sealing.clone(), entropy.clone());
    let lists = StatusLists::new(store.clone(), live.clone(), entropy.clone());
    let tokens = Arc::new(Tokens::new(store.clone(), sealing.clone(), writer.clone(), callers.clone(), minter.clone()));
    let limits = Limits::new(store.clone(), live.clone(), sealing);
    let outbox = Outbox::new(runtime.clone());
    let tickets = Tickets::new(runtime.clone());
    let token_fit = TokenFit::new(store.clone(), live.clone(), minter.clone(), entropy.clone());
    let emails = Emails::new(live.clone(), outbox.clone(), limits.clone());
    let factors = Factors::new(runtime.clone(), emails.clone());
    let roles = Roles::new(runtime.clone(), token_fit.clone());
    let people = Parts {
        runtime: runtime.clone(),
        passwords: passwords.clone(),
        limits: limits.clone(),
        writer: writer.clone(),
        callers: callers.clone(),
        minter: minter.clone(),
        lists: lists.clone(),
        tickets: tickets.clone(),
        emails: emails.clone(),
        factors: factors.clone(),
        token_fit: token_fit.clone(),
    };
    let users = UsersParts {
        runtime: runtime.clone(),
        passwords: passwords.clone(),
        limits: limits.clone(),
        tickets,
        emails,
        factors,
        roles: roles.clone(),
        tokens: tokens.clone(),
        token_fit: token_fit.clone(),
    };
    let sign_ins = people.sign_ins();
    let data = KeptData::new(store.clone(), live.clone(), writer.clone());
    let browser = BrowserParts { runtime: runtime.clone(), writer, minter, clock, sign_ins: sign_ins.clone() };
    let accounts = Arc::new(people.accounts());
    let site_accounts = SiteAccounts::new(runtime.clone(), accounts.clone(), sign_ins.clone());
    UseCases {
        sign_ins,
        accounts,
        site_accounts,
        data,
        browser: Browser::new(browser),
        tokens,
        revocations: Revocations::new(live.clone(), callers.clone()),
        signing_keys: SigningKeys::new(runtime.clone()),
        users: Users::new(users),
        clients: Clients::new(runtime.clone(), lists.clone(), roles.clone(), token_fit.clone()),
        audit: Audit::new(store.clone(), live.clone(), callers.clone()),
        import: Import::new(runtime.clone(), callers.clone(), token_fit, passwords.clone()),
        instance: InstanceSettings::new(runtime.clone()),
        declarations: Declarations::new(runtime.clone()),
        sealing: Sealing::new(runtime.clone()),
        presence: Presence::new(runtime),
        sweeper: Sweeper::new(store.clone(), live.clone()),
        callers,
        status_lists: lists,
        roles,
        outbox,
        limits,
        passwords,
        live,
        store,
        entropy,
        dev,
    }
}

fn check_instance(instance: &Instance, options: &StartOptions) -> Result<(), StartError> {
    if instance.min_binary > BINARY_VERSION {
        return Err(StartError::TooOld(instance.min_binary));
    }
    match (options.dev, instance.dev) {
        (Some(false), true) => return Err(StartError::DevDatabase),
        (Some(true), false) => return Err(StartError::NotDevDatabase),
        _ => {}
    }
    match &options.issuer {
        Some(asked) if *asked != instance.issuer => {
            Err(StartError::WrongIssuer { stored: instance.issuer.clone(), asked: asked.clone() })
        }
        _ => Ok(()),
    }
}

/// Writes the epoch, issuer, `dev` mark, check value and first keys in one transaction. If another process claims the
/// database first, nothing is written, and the caller reads the winner's claim.
async fn claim(
    store: &Store,
    sealing: &SealingKey,
    entropy: &Arc<dyn Entropy>,
    now: Timestamp,
    options: &StartOptions,
) -> Result<(), StartError> {
    let issuer = options.issuer.clone().or_else(|| options.default_issuer.clone()).ok_or(StartError::IssuerNeeded)?;
    let keys = first_keys(&Settings::default(), sealing, entropy, now)?;
    let mut tx = store.write().await?;
    let claim = Claim {
        issuer,
        dev: options.dev == Some(true),
        sealing_version: FIRST_SEALING_VERSION,
        check_value: sealing.check_value().to_vec(),
        now,
    };
    if !tx.instance_claim(&claim).await? {
        return Ok(());
    }
    for key in &keys {
        tx.key_insert(key).await?;
    }
    let details = serde_json::json!({ "issuer": claim.issuer, "dev": claim.dev });
    tx.audit(now, AuditKind::InstanceCreated, &Actor::command(), &claim.issuer, details).await?;
    tx.commit().await?;
    Ok(())
}
