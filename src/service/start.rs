//! Opening a database: claiming an empty one, checking one that is claimed.

use std::{num::NonZero, sync::Arc, thread::available_parallelism};

use chancery_verify::TokenCache;
use tokio::sync::Semaphore;

use super::{CHECKED_TOKENS, Limits, Live, Service, session_writer::SessionWriter};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        keys::{Algorithm, KeyState, StoredKey},
        settings::Settings,
    },
    entropy::Entropy,
    error::{Error, Result},
    keys::{KeyKind, SEALING_VERSION, SealingKey, fingerprint, generate},
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
        /// Of the key at hand.
        have: String,
        /// Of the key it was made with.
        want: String,
    },
    /// It belongs to another issuer.
    #[error(
        "the database belongs to the issuer {stored}, not {asked}; start without --issuer, or change it for good with \
         `chancery issuer set {asked}`"
    )]
    WrongIssuer {
        /// The stored one.
        stored: String,
        /// The one asked for.
        asked: String,
    },
    /// It is a `dev` database.
    #[error(
        "the database was made by `serve --dev` and holds a known password; serve it with --dev, or choose another"
    )]
    DevDatabase,
    /// It is not a `dev` database.
    #[error("--dev refuses a database that was not made by `serve --dev`; choose another --data-dir or --database")]
    NotDevDatabase,
    /// It needs a newer binary.
    #[error("the database needs a newer chancery (version {0} of its schema); this binary is too old")]
    TooOld(i64),
    /// An empty database without an issuer to claim it for.
    #[error("an empty database needs --issuer https://…, the URL under which verifiers know this server")]
    IssuerNeeded,
    /// It is missing or not claimed, and must not be.
    #[error("the database is empty; run `chancery serve` once to set it up")]
    Empty,
    /// It failed.
    #[error("{0}{source}", source = private(.0))]
    Failed(#[from] Error),
}

/// The operator who starts a process may know the private cause.
fn private(error: &Error) -> String {
    std::error::Error::source(error).map(|s| format!(": {s}")).unwrap_or_default()
}

/// How to open a database.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// The issuer asked for.
    pub issuer: Option<String>,
    /// The issuer of an empty database, if none is asked for.
    pub default_issuer: Option<String>,
    /// Whether it is, or is to become, a `dev` database; nothing if either will do.
    pub dev: Option<bool>,
    /// Whether an empty database may be claimed.
    pub claim: bool,
}

impl Service {
    /// Opens a migrated database, claiming it first if it is empty.
    ///
    /// # Errors
    /// Each names what does not fit and the way out.
    pub async fn start(
        store: Store,
        sealing: SealingKey,
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
            let now = store.read().await?.database_time().await?.filter(|_| clock.yields_to_database());
            claim(&store, &sealing, &entropy, now.unwrap_or_else(|| clock.now()), options).await?;
            instance = store.read().await?.instance().await?;
        }
        let instance = instance.ok_or(StartError::Empty)?;
        check_instance(&instance, options)?;
        let want = store.read().await?.sealing_key_check_value(i64::from(SEALING_VERSION)).await?.unwrap_or_default();
        if !sealing.answers(&want) {
            return Err(StartError::WrongSealingKey { have: sealing.fingerprint(), want: fingerprint(&want) });
        }
        let sealing = Arc::new(sealing);
        let live = Arc::new(Live::read(store.clone(), sealing.clone(), clock.clone()).await?);
        let (issuer, dev) = (instance.issuer.into(), instance.dev);
        let writer = SessionWriter::new(store.clone(), live.clone(), clock.clone());
        let (lists, checked) = (Arc::default(), Arc::new(TokenCache::new(CHECKED_TOKENS)));
        let limits = Limits::new(store.clone(), live.clone(), sealing.clone());
        let slow_signers = Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZero::get)));
        Ok(Self { store, live, writer, sealing, passwords, limits, entropy, issuer, dev, lists, checked, slow_signers })
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

/// Epoch, issuer, `dev` mark, check value and first keys in one transaction. Who loses reads what won.
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
        sealing_version: i64::from(SEALING_VERSION),
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

/// The first keys of an empty database sign at once: no cache can hold an older set. Each algorithm's
/// successor is published beside it.
pub(super) fn first_keys(
    settings: &Settings,
    sealing: &SealingKey,
    entropy: &Arc<dyn Entropy>,
    now: Timestamp,
) -> Result<Vec<StoredKey>> {
    let mut keys = Vec::new();
    for algorithm in Algorithm::ALL {
        let kind = KeyKind { algorithm, rsa_bits: settings.rsa_bits };
        let mut active = generate(kind, KeyState::Active, sealing, &**entropy, now)?;
        active.rotate_at = Some(now.plus(settings.rotation_period));
        keys.push(active);
        keys.push(generate(kind, KeyState::Next, sealing, &**entropy, now)?);
    }
    Ok(keys)
}
