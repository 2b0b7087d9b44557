//! The pages in JSON, through the real routes, as programs of the same origin use them.

mod account;
mod answers;
mod client;
mod fields;
mod forms;
mod story;

pub(crate) use self::client::{Step, act, get, post, sign_in, submit};
