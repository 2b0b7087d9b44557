//! Tests of the whole crate that need no server process.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails"
)]

#[macro_use]
#[path = "../support/engines.rs"]
mod engines;

mod abandoned;
mod accounts;
mod admin;
mod agreement;
mod architecture;
mod audit_retention;
mod bearer;
mod browser;
mod browser_account;
mod browser_check;
mod browser_token;
mod circles;
mod clock;
mod confirm;
mod cors;
mod costly_hashes;
mod crowd;
#[path = "../support/database.rs"]
mod database;
mod deploy;
mod docs;
mod edge;
mod factors;
mod flags;
mod floods;
mod foreign_keys;
mod forgetful;
mod guests;
mod hierarchy;
mod http_rpc;
mod import;
mod import_stream;
mod interrupted_attempts;
mod interrupted_export;
mod introspection;
mod issuer;
mod languages;
mod last_list;
mod lent_keys;
mod limits;
mod mail;
mod migrations;
#[path = "../support/network.rs"]
mod network;
mod openapi;
mod outage;
mod own_rights;
mod page_json;
mod pages;
mod passkeys;
mod people;
mod proto;
#[path = "../support/raw.rs"]
mod raw;
mod refresh;
mod requirements;
mod revoked_keys;
mod rights;
mod roles;
mod rotation;
mod sealing;
mod secrets;
mod service_config;
mod session_data;
mod session_lifetimes;
mod session_writer;
mod sign_in;
mod sites;
#[path = "../support/source.rs"]
mod source;
mod stalled;
mod start;
mod statements;
mod status_list;
mod step_up;
mod storm;
mod support;
mod sweep;
mod texts;
mod token_end;
mod token_sizes;
mod tokens;
mod turns;
mod unreadable;
mod watch;
mod watch_client;
mod web;
mod web_docs;
mod wire;
