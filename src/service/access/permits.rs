//! Permits: what the edge hands to a method once the caller may call it. Only [`Callers`](super::Callers) makes
//! them, and [`Admin::command`] for the command line, so a method that takes one cannot be reached without it.
//!
//! Administrators give nothing that they do not hold, and change nobody who may do more than they.

use std::sync::Arc;

use crate::{
    domain::{
        audit::Actor,
        client::Client,
        role::{Entitled, Role},
        scope::PermissionAt,
        session::Session,
    },
    error::{Error, Reason, Result},
    id::{RoleId, SessionId, UserId},
    secret::ClientSecretHash,
    service::runtime::Snapshot,
    time::{Timestamp, Ttl},
};

/// How long after a sign-in its user may change what belongs to others, or what signs the user in.
pub const FRESH_SIGN_IN: Ttl = Ttl::from_secs(15 * 60);

/// Refuses a sign-in that is not recent enough for a change.
pub(super) fn check_fresh(auth_time: Timestamp, now: Timestamp) -> Result<()> {
    if now > auth_time.plus(FRESH_SIGN_IN) {
        return Err(Error::Unauthenticated(Reason::SignInTooOld));
    }
    Ok(())
}

/// What admitted a caller.
#[derive(Clone, Debug)]
pub enum Permit {
    /// Nothing was asked for; if the method is for clients, the service decides by the id in the message.
    Open,
    /// A client that authenticated itself.
    Client(CallingClient),
    /// A signed-in user.
    Me(Me),
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

/// A signed-in user, as the row of the session has it now.
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
    /// The user, for the audit.
    pub(in crate::service) actor: Actor,
    auth_time: Timestamp,
}

impl Me {
    pub(super) fn new(session: Session, address: &str) -> Self {
        let client = session.client.as_str().to_owned();
        let address = address.to_owned();
        let actor = Actor { client: Some(client.clone()), address, ..Actor::named(&session.subject) };
        let Session { id, user, subject, auth_time, .. } = session;
        Self { user, subject, session: id, client, actor, auth_time }
    }

    /// The session whose token was presented.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Refuses a sign-in that is not recent enough for a change of what signs the user in.
    pub(in crate::service) fn check_fresh(&self, now: Timestamp) -> Result<()> {
        check_fresh(self.auth_time, now)
    }
}

/// An administrator: a caller with the permission of the method.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Who, for the audit.
    pub(in crate::service) actor: Actor,
    pub(super) holds: Holds,
    pub(super) standing: Standing,
}

/// The permissions that an administrator held when the call was admitted.
#[derive(Clone, Debug)]
pub(super) enum Holds {
    Everything,
    These(Vec<String>),
}

/// What an administrator's permissions rest on, for streams that outlive the moment of admission.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// The command line.
    Command,
    /// A user's token, and the roles of its session.
    User { token: TokenStanding, user: UserId, session: SessionId, roles: Vec<RoleId> },
    /// A token that a client got for itself.
    ClientToken(TokenStanding),
    /// A client's secret.
    Secret { client: String, secret: ClientSecretHash },
}

/// What ends a token before the caller does.
#[derive(Clone, Debug)]
pub(super) struct TokenStanding {
    pub(super) client: String,
    pub(super) kid: String,
    pub(super) expires_at: Timestamp,
}

impl Admin {
    /// Somebody at the machine itself, who may do everything.
    #[must_use]
    pub fn command() -> Self {
        Self { actor: Actor::command(), holds: Holds::Everything, standing: Standing::Command }
    }

    /// Whether the administrator is this user.
    pub(in crate::service) fn is_user(&self, id: &str) -> bool {
        matches!(&self.standing, Standing::User { user, .. } if user.as_str() == id)
    }

    /// Refuses an administrator whose own roles, read again under the lock of the user's row, no longer give
    /// what the call was admitted by: who was just removed must not give anything back to itself.
    ///
    /// # Errors
    /// [`Error::Conflict`]; the next attempt is judged by the new roles.
    pub(in crate::service) fn check_own_roles(&self, snapshot: &Snapshot, user: &UserId, now: &[RoleId]) -> Result<()> {
        let Holds::These(held) = &self.holds else { return Ok(()) };
        if !self.is_user(user.as_str()) {
            return Ok(());
        }
        let Entitled { permissions, .. } = snapshot.entitled(now, &snapshot.issuer);
        if held.iter().all(|p| permissions.contains(p)) { Ok(()) } else { Err(Error::Conflict) }
    }

    fn holds(&self, permission: &str) -> bool {
        match &self.holds {
            Holds::Everything => true,
            Holds::These(all) => all.iter().any(|p| p == permission),
        }
    }

    /// Refuses if the administrator lacks one of these permissions at this server.
    fn check_holds<'a>(&self, permissions: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let missing = permissions.into_iter().find(|p| !self.holds(p));
        missing.map_or(Ok(()), |permission| {
            let text = format!("this involves the permission {permission}, which the caller lacks");
            Err(Error::Denied(Reason::PermissionDenied, text))
        })
    }

    /// Refuses if one of these permissions is this server's and the administrator lacks it.
    pub(in crate::service) fn check_permissions(&self, snapshot: &Snapshot, all: &[PermissionAt]) -> Result<()> {
        let own = all.iter().filter(|p| p.audience.as_str() == &*snapshot.issuer);
        self.check_holds(own.map(|p| p.permission.as_str()))
    }

    /// Refuses if the role holds a permission at this server that the administrator lacks.
    pub(in crate::service) fn check_role(&self, snapshot: &Snapshot, role: &Role) -> Result<()> {
        self.check_holds(role.permissions_at(&snapshot.issuer, &snapshot.issuer))
    }

    /// Refuses if somebody with these roles may do something at this server that the administrator may not:
    /// whoever could change such an account could become it.
    pub(in crate::service) fn check_roles(&self, snapshot: &Snapshot, roles: &[RoleId]) -> Result<()> {
        let Entitled { permissions, .. } = snapshot.entitled(roles, &snapshot.issuer);
        self.check_holds(permissions.iter().map(String::as_str))
    }
}
