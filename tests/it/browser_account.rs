//! The pages of accounts, through the real routes, as browsers see them, on both engines.

mod account;
mod addresses;
mod factors;
pub(crate) mod fixture;
mod front;
mod register;
mod repeats;
mod reset;
mod wording;
