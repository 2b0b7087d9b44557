//! The check of a typed password.

use super::{SignIns, Typed, VerifiedUser, guess::Guess};
use crate::{
    domain::{factor::Methods, password_policy::PasswordPolicy},
    error::{Error, Result},
    passwords::PasswordVerdict,
    secret::Password,
    service::people::new_passwords::{hash_error, warn_if_unusable},
    store::SignInUser,
};

impl SignIns {
    /// Returns the user if the password is correct and the user may sign in. Every check costs one hash. A refusal
    /// costs nothing: a queue slot is acquired before the database is queried, when others at the account are done.
    pub(super) async fn check_password(&self, guess: &mut Guess, typed: &Typed<'_>) -> Result<Option<VerifiedUser>> {
        guess.counts_if_abandoned(true);
        // Boxed to keep the future small.
        let checked = Box::pin(self.check_password_in_turn(guess, typed)).await;
        // A deadline that passes is another way to stop waiting. Any other answer counts by itself.
        if !matches!(checked, Err(Error::DeadlineExceeded)) {
            guess.counts_if_abandoned(false);
        }
        checked
    }

    async fn check_password_in_turn(&self, guess: &mut Guess, typed: &Typed<'_>) -> Result<Option<VerifiedUser>> {
        guess.wait_for_turn(self).await?;
        let slot = self.passwords.admit(&guess.applicant).map_err(hash_error)?;
        guess.count(self).await?;
        let mut tx = self.store.read().await?;
        let found = match &guess.canonical {
            Some(canonical) => tx.user_by_login(canonical).await?,
            None => None,
        };
        drop(tx);
        if let Some(found) = &found {
            guess.bind_to_user(self, &found.user.id, &found.user.subject).await?;
        }
        let long = PasswordPolicy::default().is_long_enough(typed.password);
        let must_change = |f: &SignInUser| f.must_change || (f.must_suffice && !long);
        let (user, stored) = found.map_or((None, None), |f| {
            let must_change = must_change(&f);
            (Some((f.user, f.roles, must_change)), f.password)
        });
        let password = Password::new(typed.password.expose().to_owned());
        self.passwords.expect(self.live.snapshot().settings.costliest_import);
        let verdict = slot.verify(password, stored).await.map_err(hash_error)?;
        let subject = user.as_ref().map_or("", |(user, ..)| user.subject.as_str());
        warn_if_unusable(&verdict, subject);
        Ok(match (verdict, user) {
            (PasswordVerdict::Right { rehash }, Some((user, roles, must_change))) if user.disabled_at.is_none() => {
                let proved = Methods::password();
                Some(VerifiedUser { rehash, must_change, ..VerifiedUser::new(user, roles, proved) })
            }
            _ => None,
        })
    }
}
