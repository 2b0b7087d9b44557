//! What the database remembers of files that were applied.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::{
    domain::declared::{Declared, DeclaredKind},
    error::Result,
    secret::ClientSecretHash,
    service::{
        access::Admin,
        runtime::{Live, Runtime},
    },
    store::Store,
};

/// What files have declared.
pub struct Declarations {
    store: Store,
    live: Arc<Live>,
}

impl fmt::Debug for Declarations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Declarations")
    }
}

/// What is remembered of them, beside the audiences: those that nobody serves are in no memory.
#[derive(Debug, Default)]
pub struct Remembered {
    /// What they named.
    pub declared: Vec<Declared>,
    /// The secrets that clients have had from files, by client.
    pub secrets: BTreeMap<String, Vec<ClientSecretHash>>,
    /// Every audience, with its owner.
    pub audiences: BTreeMap<String, Option<String>>,
}

/// What is to be noted.
#[derive(Debug, Default)]
pub struct ToRemember {
    /// What a file named, or no longer names.
    pub declared: Vec<Declared>,
    /// What is there no more.
    pub gone: Vec<(DeclaredKind, String)>,
    /// The secrets that clients have from files.
    pub secrets: Vec<(crate::domain::client::ClientId, ClientSecretHash)>,
}

impl ToRemember {
    /// Whether there is nothing to note.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.declared.is_empty() && self.gone.is_empty() && self.secrets.is_empty()
    }
}

impl Declarations {
    pub(in crate::service) fn new(runtime: Runtime) -> Self {
        let Runtime { store, live, .. } = runtime;
        Self { store, live }
    }

    /// Brings the memory up to date, and reads what is remembered.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn read(&self, _: &Admin) -> Result<Remembered> {
        self.live.confirm().await?;
        let mut tx = self.store.read().await?;
        let declared = tx.declared_all().await?;
        let mut secrets: BTreeMap<String, Vec<ClientSecretHash>> = BTreeMap::new();
        for (client, hash) in tx.declared_secrets_all().await? {
            // A hash of another length is none that could be presented.
            secrets.entry(client).or_default().extend(ClientSecretHash::try_from(hash));
        }
        let audiences = tx.audiences_all().await?.into_iter().collect();
        Ok(Remembered { declared, secrets, audiences })
    }

    /// Notes what was declared. Notes are no change of anything: the audit log and the feed say nothing of them.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn note(&self, admin: &Admin, what: &ToRemember) -> Result<()> {
        if what.is_empty() {
            return Ok(());
        }
        let now = self.live.now();
        let mut tx = admin.write(&self.store, &self.live).await?;
        for declared in &what.declared {
            tx.declared_note(declared, now).await?;
        }
        for (kind, name) in &what.gone {
            tx.declared_forget(*kind, name).await?;
            if *kind == DeclaredKind::Client {
                tx.declared_secrets_forget(name).await?;
            }
        }
        for (client, secret) in &what.secrets {
            tx.declared_secret_note(client, *secret, now).await?;
        }
        tx.commit().await.map(|_| ())
    }
}
