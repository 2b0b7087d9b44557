//! The view of a user for the user and for administrators, and claims selected by clients' claim maps.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    domain::{
        client::{ClaimSource, Client},
        user::User,
    },
    error::Result,
    id::RoleId,
    service::runtime::Live,
    store::{SessionFilter, Tx},
    time::Timestamp,
};

/// A user with its logins and roles.
#[derive(Clone, Debug)]
pub struct UserView {
    /// The user.
    pub user: User,
    /// The user's logins: the name first, then the email addresses.
    pub logins: Vec<String>,
    /// The user's roles, by id.
    pub roles: Vec<RoleId>,
}

/// Reads a user's logins and roles.
pub(in crate::service) async fn load_view(tx: &mut Tx, user: User) -> Result<UserView> {
    let logins = tx.logins_of(&user.id).await?;
    let roles = tx.roles_of_user(&user.id).await?;
    Ok(UserView { user, logins, roles })
}

/// The claims that the client's claim map selects from the user. A path that does not exist gives no claim.
pub(super) fn mapped_claims(client: &Client, user: &User) -> Map<String, Value> {
    let select = |source: &ClaimSource| match source {
        ClaimSource::Literal(text) => Some(json!(text)),
        ClaimSource::Attribute(path) => {
            let mut parts = path.split('.');
            let first = user.attributes.get(parts.next()?)?;
            parts.try_fold(first, |value, part| value.get(part)).cloned()
        }
    };
    client.config.claim_map.iter().filter_map(|(name, source)| Some((name.clone(), select(source)?))).collect()
}

/// Updates the mapped claims in the user's live sessions.
pub(in crate::service) async fn remap_claims(live: &Live, tx: &mut Tx, user: &User, now: Timestamp) -> Result<()> {
    let snapshot = live.snapshot();
    let sessions = tx.sessions_of_user(&user.id, SessionFilter::Live(now)).await?;
    let clients: BTreeSet<_> = sessions.into_iter().map(|s| s.client).collect();
    for id in clients {
        if let Some(client) = snapshot.clients.get(id.as_str()) {
            tx.sessions_set_claims(&user.id, &id, &mapped_claims(client, user)).await?;
        }
    }
    Ok(())
}
