//! Pure rules and values: no I/O, no async, no clock. Imports only `time`, `entropy`, `id`, `secret` and `error`.

pub mod audit;
pub mod client;
pub mod end_user;
pub mod feed;
pub mod filter;
pub mod keys;
pub mod later;
pub mod limit;
pub mod login;
pub mod mail;
pub mod password_policy;
pub mod permission;
pub mod role;
pub mod scope;
pub mod session;
pub mod settings;
pub mod status_list;
pub mod text;
pub mod ticket;
pub mod token;
pub mod user;
