//! Whether somebody chooses the password that they have.

use tokio::sync::oneshot;

use super::{
    super::{HashError, PasswordVerdict, Phc},
    Passwords, Slot,
    job::{HashJob, Verified},
};
use crate::secret::Password;

impl Passwords {
    /// Whether a new password is the stored one. It waits with the new passwords, not among the sign-ins. A stored hash
    /// that cannot be checked is no password.
    ///
    /// # Errors
    /// [`HashError::Busy`], at once, if too many new passwords are waiting.
    pub async fn is_stored(&self, new: &Password, stored: Phc) -> Result<bool, HashError> {
        let (answer, answered) = oneshot::channel();
        let password = Password::new(new.expose().to_owned());
        let check = HashJob::Verify { password, stored: Some(stored), answer };
        let admitted = self.pool.state().queue.admit_storing(check);
        let Ok(place) = admitted else {
            self.pool.state().figures.queue_full += 1;
            return Err(self.pool.busy());
        };
        let _slot = Slot { passwords: self.clone(), place };
        self.pool.work.notify_one();
        let Verified { verdict, .. } = answered.await.map_err(|_| HashError::Gone)??;
        Ok(matches!(verdict, PasswordVerdict::Right { .. }))
    }
}
