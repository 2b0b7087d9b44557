//! What people do with their own accounts: open them, prove an address, choose a new password, see and end
//! their sessions, leave.
//!
//! Whether an account exists is told to nobody who does not own it: whoever asks with an address or a name
//! gets the same answer after the same work, and the mail alone differs.

mod me;
mod register;
mod reset;

use std::{fmt, sync::Arc};

pub use self::{
    me::MePatch,
    register::RegisterInput,
    reset::{PasswordReset, ResetRequest},
};
use super::{emails::Emails, limits::Limits, new_passwords::NewPasswords, tickets::Tickets};
use crate::{
    entropy::Entropy,
    passwords::Passwords,
    service::{access::Callers, runtime::Live},
    store::Store,
};

/// People's own accounts.
pub struct Accounts {
    pub(super) store: Store,
    pub(super) live: Arc<Live>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) passwords: Passwords,
    pub(super) limits: Limits,
    pub(super) callers: Callers,
    pub(super) tickets: Tickets,
    pub(super) emails: Emails,
    pub(super) new_passwords: NewPasswords,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounts")
    }
}
