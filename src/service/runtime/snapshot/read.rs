//! How the state is read: as a whole, and as far as the feed says that it has changed.

use std::{collections::HashMap, sync::Arc};

use chancery_verify::Policy;

use super::{Revoked, Snapshot};
use crate::{
    domain::{
        client::Client,
        feed::{ChangeKind, Entry, Head},
        role::Role,
    },
    error::{Error, Result},
    id::RoleId,
    keys::{Keyring, SealingKeys},
    service::runtime::{origins::Origins, sites::Sites},
    store::{Instance, Tx},
    time::Timestamp,
};

/// Reads the whole state, as it is at this feed entry.
pub(in crate::service::runtime) async fn load(
    tx: &mut Tx,
    head: Head,
    entries: &[Entry],
    sealing: &SealingKeys,
) -> Result<Snapshot> {
    let instance = tx.instance().await?.ok_or_else(|| Error::Internal("the database is not claimed".into()))?;
    follow_sealing(tx, &instance, sealing).await?;
    let (policies, served_audiences) = load_audiences(tx, &instance.issuer).await?;
    let clients = load_clients(tx).await?;
    Ok(Snapshot {
        introspection_policies: policies,
        served_audiences,
        issuer: instance.issuer.into(),
        head,
        settings: instance.settings,
        sites: Sites::of(&clients),
        origins: Origins::of(&clients),
        clients,
        roles: load_roles(tx).await?,
        ring: load_keyring(tx, sealing).await?,
        revoked_sessions: Arc::new(revocations(ChangeKind::SessionRevoked, entries).collect()),
        revoked_keys: Arc::new(revocations(ChangeKind::KeyRevoked, entries).collect()),
    })
}

/// The revocations in the feed entries of one kind.
fn revocations(kind: ChangeKind, entries: &[Entry]) -> impl Iterator<Item = (String, Revoked)> {
    let of_kind = entries.iter().map(|e| &e.change).filter(move |c| c.kind == kind);
    of_kind.map(|c| (c.subject.clone(), Revoked { at: c.at, ends_at: c.ends_at, status: c.status }))
}

/// The unexpired old revocations plus those in the new entries of one kind.
fn merge_revocations(
    old: &Arc<HashMap<String, Revoked>>,
    kind: ChangeKind,
    new_entries: &[Entry],
    now: Timestamp,
) -> Arc<HashMap<String, Revoked>> {
    let mut new = revocations(kind, new_entries).peekable();
    if new.peek().is_none() {
        return old.clone();
    }
    let kept = old.iter().filter(|(_, r)| r.ends_at > now).map(|(id, r)| (id.clone(), *r));
    Arc::new(kept.chain(new).collect())
}

/// Takes over which version of the sealing key is in use, and which were dropped.
async fn follow_sealing(tx: &mut Tx, instance: &Instance, sealing: &SealingKeys) -> Result<()> {
    let versions = tx.sealing_keys().await?;
    // Without it, nothing that this process makes could be read by others, and the reverse: it does not sign any more.
    let followed = sealing.follow(&versions, instance.sealing_version);
    followed.map_err(|lacks| Error::Unavailable(Box::new(lacks)))
}

async fn load_keyring(tx: &mut Tx, sealing: &SealingKeys) -> Result<Arc<Keyring>> {
    Ok(Arc::new(Keyring::open(tx.keys_all().await?, tx.foreign_keys_all().await?, sealing)?))
}

async fn load_clients(tx: &mut Tx) -> Result<Arc<HashMap<String, Arc<Client>>>> {
    let all = tx.clients_all().await?.into_iter();
    Ok(Arc::new(all.map(|c| (c.id.as_str().to_owned(), Arc::new(c))).collect()))
}

async fn load_roles(tx: &mut Tx) -> Result<Arc<HashMap<RoleId, Role>>> {
    let all = tx.roles_all().await?.into_iter();
    Ok(Arc::new(all.map(|r| (r.id.clone(), r)).collect()))
}

/// The audiences that clients serve: as introspection policies, and by name.
type Audiences = (Arc<HashMap<String, Policy>>, Arc<HashMap<String, Vec<String>>>);

async fn load_audiences(tx: &mut Tx, issuer: &str) -> Result<Audiences> {
    let mut policies: HashMap<String, Policy> = HashMap::new();
    let mut served_audiences: HashMap<String, Vec<String>> = HashMap::new();
    for (audience, owner) in tx.audiences_all().await? {
        let Some(owner) = owner else { continue };
        served_audiences.entry(owner.clone()).or_default().push(audience.clone());
        let policy = match policies.remove(&owner) {
            Some(policy) => policy.audience(audience),
            // What a token says of a guest is for the caller to judge.
            None => Policy::new(issuer, audience).allow_guests(true),
        };
        policies.insert(owner, policy);
    }
    Ok((Arc::new(policies), Arc::new(served_audiences)))
}

/// Reads again what the new feed entries say has changed.
pub(in crate::service::runtime) async fn apply(
    tx: &mut Tx,
    old: &Snapshot,
    head: Head,
    new_entries: &[Entry],
    sealing: &SealingKeys,
    now: Timestamp,
) -> Result<Snapshot> {
    let mut next = Snapshot { head, ..old.clone() };
    if new_entries.iter().any(|e| e.change.kind == ChangeKind::SealingKey) {
        let instance = tx.instance().await?.ok_or_else(|| Error::Internal("the database is not claimed".into()))?;
        follow_sealing(tx, &instance, sealing).await?;
    }
    let any = |kinds: &[ChangeKind]| new_entries.iter().any(|e| kinds.contains(&e.change.kind));
    if any(&[ChangeKind::Client, ChangeKind::ClientDisabled, ChangeKind::ClientEnabled]) {
        next.clients = load_clients(tx).await?;
        next.sites = Sites::of(&next.clients);
        next.origins = Origins::of(&next.clients);
        (next.introspection_policies, next.served_audiences) = load_audiences(tx, &old.issuer).await?;
    }
    if any(&[ChangeKind::Role]) {
        next.roles = load_roles(tx).await?;
    }
    if any(&[ChangeKind::Keys, ChangeKind::KeyRevoked]) {
        next.ring = load_keyring(tx, sealing).await?;
    }
    if any(&[ChangeKind::Settings]) {
        let instance = tx.instance().await?;
        next.settings = instance.map_or_else(|| old.settings.clone(), |i| i.settings);
    }
    next.revoked_sessions = merge_revocations(&old.revoked_sessions, ChangeKind::SessionRevoked, new_entries, now);
    next.revoked_keys = merge_revocations(&old.revoked_keys, ChangeKind::KeyRevoked, new_entries, now);
    Ok(next)
}
