//! Passkeys, with authenticators in software.

mod at_pages;
mod at_step_up;
#[path = "../support/authenticator.rs"]
mod authenticator;
mod by_account_calls;
mod by_another_library;
mod by_calls;
mod elsewhere;
pub(crate) mod fixture;
mod in_accounts;
