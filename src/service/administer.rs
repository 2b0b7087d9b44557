//! Who administers, and what it may give: nobody gives what it does not have, and nobody changes somebody
//! who may do more.

use super::{ClientCredentials, Permit, RequestContext, Service};
use crate::{
    domain::{
        audit::Actor,
        role::{Entitled, Role},
        scope::PermissionAt,
    },
    error::{Error, Reason, Result},
    id::RoleId,
    time::Ttl,
};

/// How long after a sign-in its user may change what belongs to others.
pub const FRESH_SIGN_IN: Ttl = Ttl::from_secs(15 * 60);

/// Whether an act changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It only looks.
    Read,
    /// It changes something: a user must have signed in lately.
    Write,
}

/// Somebody who administers.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Who, for the audit.
    pub actor: Actor,
    holds: Holds,
}

#[derive(Clone, Debug)]
enum Holds {
    Everything,
    These(Vec<String>),
}

impl Admin {
    /// Somebody at the machine itself, who may do everything.
    #[must_use]
    pub fn command() -> Self {
        Self { actor: Actor::command(), holds: Holds::Everything }
    }

    fn holds(&self, permission: &str) -> bool {
        match &self.holds {
            Holds::Everything => true,
            Holds::These(all) => all.iter().any(|p| p == permission),
        }
    }

    /// Refuses if one of these permissions at this server is not the caller's own.
    fn covers<'a>(&self, permissions: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let missing = permissions.into_iter().find(|p| !self.holds(p));
        missing.map_or(Ok(()), |permission| {
            let text = format!("this involves the permission {permission}, which the caller lacks");
            Err(Error::Denied(Reason::PermissionDenied, text))
        })
    }
}

impl Service {
    /// Admits somebody who administers: a caller with the permission, who has signed in lately if it is a
    /// user and something is to change.
    ///
    /// # Errors
    /// [`Error::Lacks`], [`Reason::SignInTooOld`], or the caller did not prove who it is.
    pub async fn administrator(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        (permission, act): (&'static str, Act),
    ) -> Result<Admin> {
        let permit = self.permitted(ctx, credentials, permission).await?;
        let admin = self.admin_of(ctx, &permit);
        if let (Permit::Token(claims), Act::Write) = (&permit, act) {
            // A client's own token has no session: it acts by its permissions.
            let signed_in = claims.session_id.as_ref().map(|_| claims.auth_time_ms.unwrap_or(0));
            let too_old = |at: i64| ctx.now.millis() > at.saturating_add(FRESH_SIGN_IN.millis());
            if signed_in.is_some_and(too_old) {
                return Err(Error::Unauthenticated(Reason::SignInTooOld));
            }
        }
        Ok(admin)
    }

    /// Whom a permit admitted, with what it holds at this server.
    pub(super) fn admin_of(&self, ctx: &RequestContext, permit: &Permit) -> Admin {
        let address = ctx.peer.clone();
        match permit {
            Permit::Token(claims) => {
                let client = claims.session_id.as_ref().map(|_| claims.client_id.clone());
                let actor = Actor { name: claims.subject.clone(), client, address };
                Admin { actor, holds: Holds::These(claims.entitlements.clone()) }
            }
            Permit::Client { id, .. } => {
                let snapshot = self.live.snapshot();
                let client = snapshot.clients.get(id);
                let entitled = client.map(|c| snapshot.entitled_client(c, self.issuer())).unwrap_or_default();
                let actor = Actor { name: id.clone(), client: None, address };
                Admin { actor, holds: Holds::These(entitled.permissions) }
            }
        }
    }

    /// Refuses if these permissions, of whatever audience, hold one of this server's that the caller lacks.
    pub(super) fn covers_permissions(&self, admin: &Admin, permissions: &[PermissionAt]) -> Result<()> {
        let own = permissions.iter().filter(|p| p.audience.as_str() == self.issuer());
        admin.covers(own.map(|p| p.permission.as_str()))
    }

    /// Refuses if this role holds a permission at this server that the caller lacks.
    pub(super) fn covers_role(&self, admin: &Admin, role: &Role) -> Result<()> {
        admin.covers(role.permissions_at(self.issuer(), self.issuer()))
    }

    /// Refuses if somebody with these roles may do something at this server that the caller may not: whoever
    /// could change such an account could become it.
    pub(super) fn covers_roles(&self, admin: &Admin, roles: &[RoleId]) -> Result<()> {
        let Entitled { permissions, .. } = self.live.snapshot().entitled(roles, self.issuer());
        admin.covers(permissions.iter().map(String::as_str))
    }
}
