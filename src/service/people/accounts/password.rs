//! The password of a signed-in user.

use serde_json::json;
use tokio::time::Instant;
use unicode_normalization::UnicodeNormalization;

use super::{Accounts, budget::Write};
use crate::{
    domain::{
        audit::AuditKind,
        limit::LimitKind,
        password_policy::{SAME_PASSWORD, WRONG_PASSWORD},
        session::RevokedCause,
    },
    error::{Error, Reason, Result, Violations},
    passwords::{Account, Applicant, PasswordVerdict, Prefix},
    secret::Password,
    service::{
        access::{Me, RequestContext},
        people::{
            limits::GuessAudit,
            new_passwords::{check_new_password, hash_error, wait_min_response_time, warn_if_unusable},
            users::UserView,
        },
    },
};

impl Accounts {
    /// Changes the password, given the current one. Ends every other session; returns how many.
    ///
    /// # Errors
    /// [`Reason::InvalidCredentials`], or a violation by the new password; [`Error::RateLimited`];
    /// [`Reason::SignInTooOld`] for a user with a second factor.
    pub async fn change_password(
        &self,
        ctx: &RequestContext,
        me: &Me,
        current: Password,
        new: Password,
    ) -> Result<usize> {
        let UserView { user, logins, .. } = self.me(me).await?;
        if user.second_factors > 0 {
            me.check_may_change_factors(user.second_factors, ctx.now)?;
        }
        check_new_password(&new, &logins, user.second_factors)?;
        if new.expose().nfc().eq(current.expose().nfc()) {
            return Err(Error::invalid("new_password", SAME_PASSWORD));
        }
        self.check_own_password(ctx, me, current).await?;
        let work = Box::pin(self.set_own_password(me, (user.security_version, &logins), new));
        self.budget.spend(Write::Security(&me.session), ctx.now, work).await
    }

    /// Does what [`Accounts::change_password`] does, and says all at once that is wrong with what was typed.
    ///
    /// # Errors
    /// As [`Accounts::change_password`]; both passwords may be at fault.
    pub async fn change_password_at(
        &self,
        ctx: &RequestContext,
        me: &Me,
        (current, new): (Password, Password),
    ) -> Result<usize> {
        let UserView { user, logins, .. } = self.me(me).await?;
        if user.second_factors > 0 {
            me.check_may_change_factors(user.second_factors, ctx.now)?;
        }
        let mut wrong = Violations::default();
        wrong.absorb(check_new_password(&new, &logins, user.second_factors))?;
        if current.expose().is_empty() {
            wrong.require(false, "current_password", "must not be empty");
        } else if !wrong.is_empty() {
            // Counted like any other guess.
            match self.check_own_password(ctx, me, current).await {
                Err(Error::Unauthenticated(Reason::InvalidCredentials)) => {
                    wrong.require(false, "current_password", WRONG_PASSWORD);
                }
                checked => checked?,
            }
            return wrong.into_result(0);
        }
        wrong.into_result(())?;
        self.change_password(ctx, me, current, new).await
    }

    /// Fails unless this is the user's current password.
    ///
    /// # Errors
    /// [`Reason::InvalidCredentials`]; [`Error::TooManyAttempts`].
    pub(super) async fn check_own_password(&self, ctx: &RequestContext, me: &Me, current: Password) -> Result<()> {
        let arrived = Instant::now();
        // A stolen token must not allow guessing the password. Each session has a count of its own, so that a thief
        // cannot stop the owner; no login contains the separator, so that nobody else can.
        let key = self.limits.key(LimitKind::Account, &format!("\0{}", me.session));
        let (account, peer) = (Account::named(key.hash), Prefix::of(&ctx.peer));
        let _turn = self.passwords.turn(account, peer, ctx.deadline).await.map_err(hash_error)?;
        let attempt = self.limits.check(&[key]).await?;
        let slot = self.passwords.admit(&Applicant {
            account,
            prefix: peer,
            deadline: ctx.deadline,
            // The caller has a session, so the device is known.
            known_device: true,
        });
        let slot = slot.map_err(hash_error)?;
        let stored = self.store.read().await?.password_of(&me.user).await?;
        let verdict = slot.verify(current, stored).await.map_err(hash_error)?;
        warn_if_unusable(&verdict, &me.subject);
        if !matches!(verdict, PasswordVerdict::Right { .. }) {
            attempt.failed(GuessAudit { subject: me.subject.clone(), actor: me.actor.clone() }).await?;
            wait_min_response_time(arrived).await;
            return Err(Error::Unauthenticated(Reason::InvalidCredentials));
        }
        attempt.succeeded().await
    }

    /// Sets the user's password, if the account is still at the version that the old one was verified against.
    async fn set_own_password(&self, me: &Me, (version, logins): (i64, &[String]), new: Password) -> Result<usize> {
        let id = &me.user;
        let phc = self.passwords.hash(new).await.map_err(hash_error)?;
        let (client, now) = (self.live.client(&me.client)?, self.live.now());
        let mut tx = me.write(&self.store).await?;
        if !tx.user_touch(id, Some(version), now).await? {
            return Err(Error::Conflict);
        }
        tx.password_set(id, &phc, now).await?;
        self.limits.clear_logins(&mut tx, logins).await?;
        let language = tx.user_by_id(id).await?.and_then(|user| user.language);
        self.emails.send_password_changed(&mut tx, &client, (logins, language.as_ref()), now).await?;
        let ended = self.end_other_sessions(&mut tx, me, (RevokedCause::PasswordSet, now)).await?;
        tx.audit(now, AuditKind::PasswordSet, &me.actor, &me.subject, json!({ "by": "user" })).await?;
        self.live.commit(tx).await?;
        Ok(ended)
    }
}
