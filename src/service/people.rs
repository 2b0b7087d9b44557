//! What end users do: sign in, in several steps if required, register, reset passwords and manage their own account.
//! Also limits failed attempts. Imports `runtime`, `access` and `tokens`.

mod accounts;
mod buckets;
mod data_limits;
mod emails;
mod factors;
mod guest_limits;
mod guest_tokens;
mod limits;
mod new_passwords;
mod passkey_factors;
mod person;
mod session_data;
mod sign_in;
mod ticket_turn;
mod tickets;
mod token_fit;
mod users;

pub(in crate::service) use self::{
    accounts::ResetBy,
    emails::{Addressee, Emails, parse_recipient},
    factors::{FactorChange, Factors, totp_purpose},
    new_passwords::{check_may_handle_passwords, hash_error},
    passkey_factors::relying_party_of,
    sign_in::{PASSKEY_TTL, PageStepUp},
    tickets::{IssuedTicket, Tickets},
    token_fit::{TokenFit, has_usual_subject},
    users::{load_view, remap_claims},
};
use std::sync::Arc;

use self::{accounts::WriteBudget, guest_limits::GuestLimits, new_passwords::NewPasswords};
pub use self::{
    accounts::{
        Accounts, AtSite, Awaited, MailedLink, MayChangeFactors, MePatch, NewFactor, Once, OwnData, OwnFactors,
        PasskeyEnrolment, PasswordReset, RegisterInput, ResetRequest, SiteRegistration, SiteVerification,
        TotpEnrolment, UsedBefore, VerifiedAtSite, VerifyEmailInput, Waiting, Whose,
    },
    factors::TotpSetup,
    guest_limits::GuestFigures,
    limits::{Attempt, GuessAudit, LimitFigures, Limits},
    session_data::{DataAt, DataStored, KeptData},
    sign_in::{
        BrowserGoal, Challenge, Continued, Device, FormProof, GuestRequest, NewCookies, NewGuest, NextStep,
        PagePasskey, PageSignIn, PageSignedIn, PageStep, PasskeyChallenge, PasskeyLoginRequest, PresentSession,
        SignInRequest, SignInStep, SignIns, SignedIn, StepAtPage, StepField, StepInput, StepPlace, StepTaken,
        StepTyped, StepUpRequest, StepsEnd, UpgradeRequest,
    },
    tickets::{PendingTicket, PresentedTicket},
    users::UserView,
};
use super::{
    access::Callers,
    runtime::{Runtime, SessionWriter},
    tokens::{Minter, StatusLists},
};
use crate::passwords::Passwords;

/// The dependencies of the end-user use cases.
pub(in crate::service) struct Parts {
    pub(in crate::service) runtime: Runtime,
    pub(in crate::service) passwords: Passwords,
    pub(in crate::service) limits: Limits,
    pub(in crate::service) writer: SessionWriter,
    pub(in crate::service) callers: Callers,
    pub(in crate::service) minter: Minter,
    pub(in crate::service) lists: StatusLists,
    pub(in crate::service) tickets: Tickets,
    pub(in crate::service) emails: Emails,
    pub(in crate::service) factors: Factors,
    pub(in crate::service) token_fit: TokenFit,
}

impl Parts {
    fn new_passwords(&self) -> NewPasswords {
        let Runtime { store, live, .. } = self.runtime.clone();
        NewPasswords::new(store, live, self.limits.clone(), self.emails.clone())
    }

    pub(in crate::service) fn accounts(&self) -> Accounts {
        let Runtime { store, live, sealing, entropy } = self.runtime.clone();
        Accounts {
            store,
            live,
            sealing,
            entropy,
            passwords: self.passwords.clone(),
            limits: self.limits.clone(),
            callers: self.callers.clone(),
            tickets: self.tickets.clone(),
            emails: self.emails.clone(),
            factors: self.factors.clone(),
            new_passwords: self.new_passwords(),
            token_fit: self.token_fit.clone(),
            budget: WriteBudget::default(),
        }
    }

    pub(in crate::service) fn sign_ins(&self) -> SignIns {
        let Runtime { store, live, sealing, entropy } = self.runtime.clone();
        SignIns {
            guests: GuestLimits::new(store.clone(), live.clone()),
            store,
            live,
            sealing,
            entropy,
            passwords: self.passwords.clone(),
            limits: self.limits.clone(),
            writer: self.writer.clone(),
            callers: self.callers.clone(),
            minter: self.minter.clone(),
            lists: self.lists.clone(),
            tickets: self.tickets.clone(),
            emails: self.emails.clone(),
            factors: self.factors.clone(),
            new_passwords: self.new_passwords(),
            budget: Arc::default(),
        }
    }
}
