//! Whether the tokens of users and clients stay within the maximum size, checked when something is assigned: what may be
//! assigned fits into a token. The same limit holds again when a token is issued.

use std::{collections::HashMap, fmt, sync::Arc};

use super::users::mapped_claims;
use crate::{
    domain::{
        client::{ClaimSource, Client, Grant},
        factor::{Method, Methods},
        role::Role,
        scope::Audience,
        session::TokenBasis,
        status_list::StatusIndex,
        user::User,
    },
    entropy::Entropy,
    error::{Error, Result},
    id::{RoleId, SessionId, UserId},
    service::{
        runtime::{Live, Snapshot},
        tokens::{Minter, Subject, TokenParams},
    },
    store::Store,
    time::Timestamp,
};

/// How many combinations of roles are checked after a change of a role or client.
const MAX_COMBINATIONS: i64 = 10_000;
/// The longest subject, in bytes of JSON, for which the check of a client leaves nothing open. Subjects that the server
/// chooses are shorter.
const USUAL_SUBJECT: usize = 32;
/// A position in the status lists with as many digits as any.
const STATUS: StatusIndex = StatusIndex { list: 9_999_999, index: 131_071 };

/// Checks the sizes of tokens to come. Cheap to clone.
#[derive(Clone)]
pub(in crate::service) struct TokenFit {
    store: Store,
    live: Arc<Live>,
    minter: Minter,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for TokenFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenFit")
    }
}

fn has_users(client: &Client) -> bool {
    client.may(Grant::DirectLogin) || client.may(Grant::RefreshToken)
}

fn maps_attributes(client: &Client) -> bool {
    client.config.claim_map.values().any(|source| matches!(source, ClaimSource::Attribute(_)))
}

impl TokenFit {
    pub(in crate::service) fn new(store: Store, live: Arc<Live>, minter: Minter, entropy: Arc<dyn Entropy>) -> Self {
        Self { store, live, minter, entropy }
    }

    /// Fails if a token that this user with these roles would get through any client is too large. `field` is what is
    /// being assigned.
    pub(in crate::service) fn check_user(&self, user: &User, roles: &[RoleId], field: &'static str) -> Result<()> {
        let snapshot = self.live.snapshot();
        let clients = snapshot.clients.values().map(|c| &**c);
        self.check_user_at(&snapshot, clients, (user, roles), None).map_err(named(field))
    }

    /// The same for a user who exists already: tokens that do not grow are no obstacle.
    pub(in crate::service) fn check_changed_user(
        &self,
        before: (&User, &[RoleId]),
        after: (&User, &[RoleId]),
        field: &'static str,
    ) -> Result<()> {
        let snapshot = self.live.snapshot();
        let clients = snapshot.clients.values().map(|c| &**c);
        self.check_user_at(&snapshot, clients, after, Some(before)).map_err(named(field))
    }

    fn check_user_at<'a>(
        &self,
        snapshot: &Snapshot,
        clients: impl Iterator<Item = &'a Client>,
        (user, roles): (&User, &[RoleId]),
        before: Option<(&User, &[RoleId])>,
    ) -> Result<()> {
        let mut basis = self.basis(user, roles);
        let unusual = !has_usual_subject(user);
        let mut entitled: HashMap<&str, bool> = HashMap::new();
        for client in clients.filter(|client| has_users(client)) {
            let mapped = maps_attributes(client);
            for audience in &client.config.audiences {
                let has_some = |a: &&str| !snapshot.entitlements(roles, a).permissions.is_empty();
                let entitled = *entitled.entry(audience.as_str()).or_insert_with_key(has_some);
                // What else is in a token was checked with the client.
                if entitled || mapped || unusual {
                    basis.claims = mapped_claims(client, user);
                    let size = self.check_token(snapshot, client, Subject::Session(&basis), audience);
                    self.unless_as_large(snapshot, client, audience, before, size)?;
                }
            }
        }
        Ok(())
    }

    /// Lets a token pass that is too large, if that of the user before the change is as large.
    fn unless_as_large(
        &self,
        snapshot: &Snapshot,
        client: &Client,
        audience: &Audience,
        before: Option<(&User, &[RoleId])>,
        size: Result<()>,
    ) -> Result<()> {
        let (Err(Error::TokenTooLarge { token, .. }), Some((user, roles))) = (&size, before) else { return size };
        let basis = TokenBasis { claims: mapped_claims(client, user), ..self.basis(user, roles) };
        match self.check_token(snapshot, client, Subject::Session(&basis), audience) {
            Err(Error::TokenTooLarge { token: old, .. }) if token.bytes <= old.bytes => Ok(()),
            _ => size,
        }
    }

    /// A session of this user, as far as it decides about the size of a token.
    fn basis(&self, user: &User, roles: &[RoleId]) -> TokenBasis {
        let now = self.live.now();
        // With all that there is to say, and with all roles.
        let passkey = Method::Passkey { hardware: true, verified: true };
        let strongest = Methods::password().and(passkey);
        TokenBasis {
            id: SessionId::new(now, &*self.entropy),
            subject: user.subject.clone(),
            generation: 0,
            auth_time: now,
            amr: strongest.amr(),
            acr: strongest.acr().to_owned(),
            scopes: Vec::new(),
            claims: serde_json::Map::new(),
            roles: roles.to_vec(),
            expires_at: now,
            absolute_expires_at: Timestamp::from_millis(i64::MAX),
            status: Some(STATUS),
        }
    }

    fn check_token(
        &self,
        snapshot: &Snapshot,
        client: &Client,
        subject: Subject<'_>,
        audience: &Audience,
    ) -> Result<()> {
        let params = TokenParams { audience, scopes: &client.config.scopes, now: self.live.now() };
        self.minter.check_size(snapshot, client, subject, params)
    }

    /// Fails if the role alone is too large for a token of any client.
    pub(in crate::service) fn check_new_role(&self, role: &Role) -> Result<()> {
        let snapshot = with_role(&self.live.snapshot(), role);
        let nobody = self.somebody(1);
        let clients = snapshot.clients.values().map(|c| &**c);
        let alone = std::slice::from_ref(&role.id);
        self.check_user_at(&snapshot, clients, (&nobody, alone), None).map_err(named("permissions"))
    }

    /// Fails if the changed role makes a token of a holder too large: of a client, or of a user. Of the users with the
    /// same roles, only the one with the longest subject and attributes is looked at.
    pub(in crate::service) async fn check_changed_role(&self, role: &Role) -> Result<()> {
        self.check_new_role(role)?;
        let snapshot = with_role(&self.live.snapshot(), role);
        for client in snapshot.clients.values().filter(|c| c.config.roles.contains(&role.id)) {
            self.check_own_tokens(&snapshot, client).map_err(named("permissions"))?;
        }
        let clients: Vec<&Client> = snapshot.clients.values().map(|c| &**c).collect();
        self.check_holders(&snapshot, &clients, Some(&role.id)).await.map_err(named("permissions"))
    }

    /// Fails if a token of this client, or a token that a user gets through it, would be too large.
    pub(in crate::service) async fn check_client(&self, client: &Client, field: &'static str) -> Result<()> {
        let snapshot = self.live.snapshot();
        self.check_own_tokens(&snapshot, client).map_err(named(field))?;
        if !has_users(client) {
            return Ok(());
        }
        // The largest tokens without attributes are those of somebody who has every role. If they fit, all do.
        let (all, somebody) = (snapshot.roles.keys().cloned().collect::<Vec<_>>(), self.somebody(255));
        let basis = TokenBasis { claims: mapped_claims(client, &somebody), ..self.basis(&somebody, &all) };
        let fits = |audience| self.check_token(&snapshot, client, Subject::Session(&basis), audience).is_ok();
        if !maps_attributes(client) && client.config.audiences.iter().all(fits) {
            return Ok(());
        }
        let nobody = self.somebody(USUAL_SUBJECT - 2);
        let basis = TokenBasis { claims: mapped_claims(client, &nobody), ..self.basis(&nobody, &[]) };
        for audience in &client.config.audiences {
            self.check_token(&snapshot, client, Subject::Session(&basis), audience).map_err(named(field))?;
        }
        self.check_holders(&snapshot, &[client], None).await.map_err(named(field))
    }

    async fn check_holders(&self, snapshot: &Snapshot, clients: &[&Client], role: Option<&RoleId>) -> Result<()> {
        let largest = self.store.read().await?.users_with_longest_tokens(role, MAX_COMBINATIONS).await?;
        for (user, roles) in largest {
            self.check_user_at(snapshot, clients.iter().copied(), (&user, &roles), None)?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn check_own_tokens(&self, snapshot: &Snapshot, client: &Client) -> Result<()> {
        if !client.may(Grant::ClientCredentials) {
            return Ok(());
        }
        let client = Client { status: Some(STATUS), ..client.clone() };
        let mut audiences = client.config.audiences.iter();
        audiences.try_for_each(|audience| self.check_token(snapshot, &client, Subject::Client, audience))
    }

    /// A user without attributes whose subject has this length.
    fn somebody(&self, subject: usize) -> User {
        let now = self.live.now();
        User {
            id: UserId::new(now, &*self.entropy),
            subject: "s".repeat(subject),
            attributes: serde_json::Map::new(),
            language: None,
            security_version: 1,
            second_factors: 0,
            disabled_at: None,
            created_at: now,
        }
    }
}

/// Whether the tokens of a user without roles and attributes are no larger than those checked with each client.
pub(in crate::service) fn has_usual_subject(user: &User) -> bool {
    serde_json::to_string(&user.subject).is_ok_and(|json| json.len() <= USUAL_SUBJECT)
}

fn with_role(snapshot: &Snapshot, role: &Role) -> Snapshot {
    let mut roles = (*snapshot.roles).clone();
    roles.insert(role.id.clone(), role.clone());
    Snapshot { roles: Arc::new(roles), ..snapshot.clone() }
}

/// Names the field whose value makes a token too large.
fn named(field: &'static str) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::TokenTooLarge { token, .. } => Error::TokenTooLarge { field, token },
        other => other,
    }
}
