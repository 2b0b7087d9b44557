//! Self-service accounts: registration, email verification, password reset, sessions and deletion.
//!
//! Nobody but its owner can find out whether an account exists: requests with an address or a name get the same
//! response after the same work, and only the mail differs.

mod at_site;
mod budget;
mod data;
mod factor_repeats;
mod factors;
mod me;
mod once;
mod passkeys;
mod password;
mod register;
mod repeats;
mod reset;
mod verify;
mod visit;
mod waiting;

use std::{fmt, sync::Arc};

pub(super) use self::budget::{Write, WriteBudget};
pub(in crate::service) use self::reset::ResetBy;
pub use self::{
    at_site::{AtSite, MailedLink, SiteRegistration, SiteVerification, VerifiedAtSite, Whose},
    data::OwnData,
    factors::{MayChangeFactors, NewFactor, OwnFactors, TotpEnrolment},
    me::MePatch,
    once::Once,
    passkeys::PasskeyEnrolment,
    register::RegisterInput,
    repeats::UsedBefore,
    reset::{PasswordReset, ResetRequest},
    verify::VerifyEmailInput,
    waiting::{Awaited, Waiting},
};
use super::{
    emails::Emails, factors::Factors, limits::Limits, new_passwords::NewPasswords, tickets::Tickets,
    token_fit::TokenFit,
};
use crate::{
    entropy::Entropy,
    keys::SealingKeys,
    passwords::Passwords,
    service::{access::Callers, runtime::Live},
    store::Store,
};

/// Self-service accounts.
pub struct Accounts {
    pub(super) store: Store,
    pub(super) live: Arc<Live>,
    pub(super) sealing: Arc<SealingKeys>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) passwords: Passwords,
    pub(super) limits: Limits,
    pub(super) callers: Callers,
    pub(super) tickets: Tickets,
    pub(super) emails: Emails,
    pub(super) factors: Factors,
    pub(super) new_passwords: NewPasswords,
    pub(super) token_fit: TokenFit,
    pub(super) budget: WriteBudget,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounts")
    }
}
