//! Permits: the proof of authorization that the edge passes to a method. Only [`Callers`](super::Callers) and, for
//! the command line, [`Admin::command`] create them. A method that takes a permit cannot be called without one.
//!
//! Administrators cannot grant permissions that they lack, nor change an account that has more permissions than they
//! do.

use std::sync::Arc;

use crate::{
    domain::{
        assurance::acr_suffices,
        audit::Actor,
        client::{Client, ClientId},
        declared::Declared,
        role::{Entitled, Role},
        scope::PermissionAt,
        session::Session,
    },
    error::{Error, Reason, Result},
    id::{RoleId, SessionId, UserId},
    secret::ClientSecretHash,
    service::runtime::{Live, Snapshot},
    store::{Store, Tx},
    time::{Timestamp, Ttl},
};

/// How recent a sign-in must be for administrative changes and for changes to the user's own login.
pub const FRESH_SIGN_IN: Ttl = Ttl::from_secs(15 * 60);

/// Fails if the sign-in is not recent enough for a change.
pub(super) fn check_fresh(auth_time: Timestamp, now: Timestamp) -> Result<()> {
    if now > auth_time.plus(FRESH_SIGN_IN) {
        return Err(Error::Unauthenticated(Reason::SignInTooOld));
    }
    Ok(())
}

/// The refusal of a bearer token.
pub(in crate::service) const TOKEN_REFUSED: Error = Error::Unauthenticated(Reason::TokenInvalid);

/// The refusal of a guest.
pub(in crate::service) fn guest_not_allowed() -> Error {
    Error::Denied(Reason::GuestNotAllowed, "guests have no account; sign in, or register".to_owned())
}

async fn live_session(tx: &mut Tx, id: &SessionId) -> Result<Session> {
    let session = tx.session_by_id(id).await?.ok_or(TOKEN_REFUSED)?;
    if session.revoked.is_some() { Err(Error::TokenRevoked) } else { Ok(session) }
}

/// How a caller was authorized.
#[derive(Clone, Debug)]
pub enum Permit {
    /// The method requires no credentials at this point. For client methods, the service authenticates by the client
    /// id in the message.
    Open,
    /// A client that authenticated itself.
    Client(CallingClient),
    /// A signed-in user.
    Me(Me),
    /// A session, of a user or a guest, or a client that authenticated itself.
    Data(DataCaller),
    /// A caller with the method's permission.
    Admin(Admin),
}

/// A client that authenticated itself.
#[derive(Clone, Debug)]
pub struct CallingClient(pub(super) Arc<Client>);

impl CallingClient {
    /// The client.
    pub(in crate::service) fn client(&self) -> &Client {
        &self.0
    }
}

/// Who may read and change what is kept with a session.
#[derive(Clone, Debug)]
pub struct DataCaller(pub(super) DataCallerKind);

#[derive(Clone, Debug)]
pub(super) enum DataCallerKind {
    /// The session itself, which is found live when its data are read or changed.
    Session {
        /// The session.
        id: SessionId,
        /// Whether it is a guest's.
        is_guest: bool,
    },
    /// A confidential client, for sessions of its own.
    Client(Arc<Client>),
}

impl DataCaller {
    /// A session whose cookie was checked.
    pub(in crate::service) const fn of_session(id: SessionId, is_guest: bool) -> Self {
        Self(DataCallerKind::Session { id, is_guest })
    }

    /// Whether it is a session that asks for its own data.
    pub(in crate::service) const fn is_session(&self) -> bool {
        matches!(self.0, DataCallerKind::Session { .. })
    }

    /// Whether it is the session of a guest that asks for its own data.
    pub(in crate::service) const fn is_guest(&self) -> bool {
        matches!(self.0, DataCallerKind::Session { is_guest: true, .. })
    }

    /// The session that the caller means, and the client that it must be of unless it is the caller itself.
    ///
    /// # Errors
    /// A violation of `session_id`.
    pub(in crate::service) fn session(&self, named: &str) -> Result<(SessionId, Option<ClientId>)> {
        match &self.0 {
            DataCallerKind::Session { id, .. } if named.is_empty() || named == id.as_str() => Ok((id.clone(), None)),
            DataCallerKind::Session { .. } => {
                Err(Error::invalid("session_id", "must be empty, or the session of the token"))
            }
            DataCallerKind::Client(client) => {
                let session = named.parse().map_err(|_| Error::invalid("session_id", "must be the id of a session"))?;
                Ok((session, Some(client.id.clone())))
            }
        }
    }
}

/// A signed-in user, read from the session row.
#[derive(Clone, Debug)]
pub struct Me {
    /// The user.
    pub(in crate::service) user: UserId,
    /// The user's `sub`.
    pub(in crate::service) subject: String,
    /// The session whose token was presented.
    pub(in crate::service) session: SessionId,
    /// The client that the user signed in through.
    pub(in crate::service) client: String,
    /// The user, for the audit log.
    pub(in crate::service) actor: Actor,
    auth_time: Timestamp,
    acr: String,
}

impl Me {
    /// Fails if the session is a guest's: a guest has no account.
    pub(super) fn new(session: Session, address: &str) -> Result<Self> {
        let client = session.client.as_str().to_owned();
        let address = address.to_owned();
        let actor = Actor { client: Some(client.clone()), address, ..Actor::named(&session.subject) };
        let Session { id, user, subject, auth_time, acr, .. } = session;
        let user = user.ok_or_else(guest_not_allowed)?;
        Ok(Self { user, subject, session: id, client, actor, auth_time, acr })
    }

    /// The same user, who has just given the current password.
    #[must_use]
    pub(in crate::service) fn confirmed(&self, now: Timestamp) -> Self {
        Self { auth_time: now, ..self.clone() }
    }

    /// Whether the sign-in is recent enough for changes of the user's login.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.check_fresh(now).is_ok()
    }

    /// The user's `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The user.
    #[must_use]
    pub(in crate::service) const fn user(&self) -> &UserId {
        &self.user
    }

    /// The session whose token was presented.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Starts the transaction of a change, and checks again that the session has not ended.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`].
    pub(in crate::service) async fn write(&self, store: &Store) -> Result<Tx> {
        let mut tx = store.write().await?;
        self.check_current(&mut tx).await?;
        Ok(tx)
    }

    /// Fails if the session has ended since the call was authorized: its owner may have ended it because the token was
    /// stolen.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`].
    pub(in crate::service) async fn check_current(&self, tx: &mut Tx) -> Result<()> {
        live_session(tx, &self.session).await.map(|_| ())
    }

    /// Fails if the sign-in is too old to change second factors, or was without one although the user has some.
    ///
    /// # Errors
    /// [`Reason::SignInTooOld`]: whoever signs in again is asked for all of them.
    pub(in crate::service) fn check_may_change_factors(&self, second_factors: i64, now: Timestamp) -> Result<()> {
        if second_factors > 0 && !acr_suffices(&self.acr, "2") {
            return Err(Error::Unauthenticated(Reason::SignInTooOld));
        }
        self.check_fresh(now)
    }

    /// Fails if the sign-in is too old to change the user's login.
    pub(in crate::service) fn check_fresh(&self, now: Timestamp) -> Result<()> {
        check_fresh(self.auth_time, now)
    }
}

/// An administrator: a caller with the permission that the method requires.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The administrator, for the audit log.
    pub(in crate::service) actor: Actor,
    pub(super) holds: HeldPermissions,
    pub(super) source: PermissionSource,
    /// The origin of the page that made the call, if one did.
    pub(super) origin: Option<String>,
    /// What is noted with each change: a file that is applied names it.
    pub(super) declares: Option<Declared>,
}

/// The permissions that an administrator had when the call was authorized.
#[derive(Clone, Debug)]
pub(super) enum HeldPermissions {
    Everything,
    Only(Vec<String>),
}

/// What an administrator's permissions derive from. Streams check it again while they run.
#[derive(Clone, Debug)]
pub(super) enum PermissionSource {
    /// The command line.
    Command,
    /// A user's token, and the roles of its session.
    User { token: TokenSource, user: UserId, session: SessionId, roles: Vec<RoleId> },
    /// A token issued to a client for itself.
    ClientToken(TokenSource),
    /// A client's secret.
    Secret { client: String, secret: ClientSecretHash },
}

/// What can invalidate a token during a stream.
#[derive(Clone, Debug)]
pub(super) struct TokenSource {
    pub(super) client: String,
    pub(super) kid: String,
    pub(super) expires_at: Timestamp,
}

impl Admin {
    /// An operator on the command line, who may do everything.
    #[must_use]
    pub fn command() -> Self {
        let (actor, holds) = (Actor::command(), HeldPermissions::Everything);
        Self { actor, holds, source: PermissionSource::Command, origin: None, declares: None }
    }

    /// The same, who notes with each change that a file declares this: what fails later, or is killed, leaves nothing that
    /// was made and that no file is known to have named.
    #[must_use]
    pub fn declaring(self, declares: Option<Declared>) -> Self {
        Self { declares, ..self }
    }

    /// Whether the administrator is this user.
    pub(in crate::service) fn is_user(&self, id: &str) -> bool {
        matches!(&self.source, PermissionSource::User { user, .. } if user.as_str() == id)
    }

    /// Starts the transaction of a change, and checks again that the caller may make it.
    ///
    /// # Errors
    /// As [`Admin::check_current`].
    pub(in crate::service) async fn write(&self, store: &Store, live: &Live) -> Result<Tx> {
        let mut tx = store.write().await?;
        self.check_current(&mut tx, live).await?;
        if let Some(declared) = &self.declares {
            tx.declared_note(declared, live.now()).await?;
        }
        Ok(tx)
    }

    /// Fails if the administrator has lost any permission since the call was authorized. Somebody who was just demoted
    /// must not appoint a successor with a call that was already under way.
    ///
    /// # Errors
    /// [`Error::Conflict`]: a retry is authorized anew. [`Reason::TokenInvalid`] if the session has ended or the client
    /// is disabled.
    pub(in crate::service) async fn check_current(&self, tx: &mut Tx, live: &Live) -> Result<()> {
        let HeldPermissions::Only(held) = &self.holds else { return Ok(()) };
        let snapshot = live.snapshot();
        let issuer = &*snapshot.issuer;
        let enabled =
            |id: &str| snapshot.clients.get(id).filter(|c| c.disabled_at.is_none()).ok_or(Error::TokenRevoked);
        let Entitled { permissions, .. } = match &self.source {
            PermissionSource::Command => return Ok(()),
            PermissionSource::User { token, session, .. } => {
                enabled(&token.client)?;
                let session = live_session(tx, session).await?;
                snapshot.session_entitlements(&session.roles, &session.acr, issuer)
            }
            PermissionSource::ClientToken(token) => snapshot.client_entitlements(enabled(&token.client)?, issuer),
            PermissionSource::Secret { client, .. } => snapshot.client_entitlements(enabled(client)?, issuer),
        };
        if held.iter().all(|p| permissions.contains(p)) { Ok(()) } else { Err(Error::Conflict) }
    }

    fn holds(&self, permission: &str) -> bool {
        match &self.holds {
            HeldPermissions::Everything => true,
            HeldPermissions::Only(all) => all.iter().any(|p| p == permission),
        }
    }

    /// Fails if the administrator lacks any of these permissions at this server.
    fn check_holds<'a>(&self, permissions: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let missing = permissions.into_iter().find(|p| !self.holds(p));
        missing.map_or(Ok(()), |permission| {
            let text = format!("this involves the permission {permission}, which the caller lacks");
            Err(Error::Denied(Reason::PermissionDenied, text))
        })
    }

    /// Fails if the administrator lacks any of these permissions that belong to this server.
    pub(in crate::service) fn check_permissions(&self, snapshot: &Snapshot, all: &[PermissionAt]) -> Result<()> {
        let own = all.iter().filter(|p| p.audience.as_str() == &*snapshot.issuer);
        self.check_holds(own.map(|p| p.permission.as_str()))
    }

    /// Fails if the role grants a permission at this server that the administrator lacks.
    pub(in crate::service) fn check_role(&self, snapshot: &Snapshot, role: &Role) -> Result<()> {
        self.check_holds(role.permissions_at(&snapshot.issuer, &snapshot.issuer))
    }

    /// Fails if these roles grant a permission at this server that the administrator lacks: whoever can change such
    /// an account could take it over.
    pub(in crate::service) fn check_roles(&self, snapshot: &Snapshot, roles: &[RoleId]) -> Result<()> {
        let Entitled { permissions, .. } = snapshot.entitlements(roles, &snapshot.issuer);
        self.check_holds(permissions.iter().map(String::as_str))
    }
}
