//! Real server processes, reached over the network.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails"
)]

mod backup;
mod bad_commands;
mod bad_input;
mod bad_requests;
mod bad_texts;
mod calls;
mod canary;
mod crash;
mod drain;
mod edge;
mod filled;
mod foreign;
mod guard;
mod json;
mod lost;
mod mail;
mod mail_server;
mod moving_in;
mod outage;
mod pages;
mod parallel;
mod place;
mod proxy_environment;
#[path = "../support/raw.rs"]
mod raw;
mod readme;
mod refused;
mod relay;
mod search;
mod server;
mod snippets;
mod stalled;
mod story;
mod surroundings;
mod watchers;
mod watching;
