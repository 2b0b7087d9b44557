//! Second factors that users have lost.

use super::{LockedUser, Users};
use crate::{
    error::{Error, Result},
    id::FactorId,
    service::{
        access::Admin,
        people::{FactorChange, OwnFactors},
    },
};

impl Users {
    /// The second factors of a user.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn factors(&self, _: &Admin, user: &str) -> Result<OwnFactors> {
        let user = self.find(user).await?.user;
        let mut tx = self.store.read().await?;
        let factors = tx.factors_of(&user.id).await?;
        Ok(OwnFactors { factors, recovery_codes_left: tx.recovery_codes_left(&user.id).await? })
    }

    /// Removes a second factor of a user, or all of them; returns how many. The user's sessions end. If none is left, a
    /// password that is too short to be the only factor has to be replaced at the next sign-in.
    ///
    /// # Errors
    /// [`Error::NotFound`]; the user has permissions that the caller lacks; [`Error::Precondition`] if it is the caller.
    pub async fn remove_factor(&self, admin: &Admin, user: &str, factor: Option<&str>) -> Result<usize> {
        let LockedUser { mut tx, found, now } = self.begin_change(admin, user, None).await?;
        if admin.is_user(found.user.id.as_str()) {
            // Their token may be of one factor alone.
            let text = "you cannot remove your own second factor with users.write; call RemoveMyFactor";
            return Err(Error::Precondition(text.to_owned()));
        }
        let snapshot = self.live.snapshot();
        // Readers know the service by its host.
        let service = snapshot.issuer.split("://").last().unwrap_or_default();
        let change = FactorChange { service, user: &found.user, actor: &admin.actor, keep: None, now };
        let (removed, left) = if let Some(text) = factor {
            let missing = || Error::NotFound("factor", text.to_owned());
            let id: FactorId = text.parse().map_err(|_| missing())?;
            let (_, left) = self.factors.remove(&mut tx, change, &id).await?.ok_or_else(missing)?;
            (1, left)
        } else {
            (self.factors.remove_all(&mut tx, change).await?, 0)
        };
        if removed == 0 {
            return Ok(0);
        }
        self.limits.clear_factors(&mut tx, &found.user.id).await?;
        if left == 0 {
            tx.password_must_suffice(&found.user.id).await?;
        }
        self.live.commit(tx).await?;
        Ok(usize::try_from(removed).unwrap_or(usize::MAX))
    }
}
