//! Real server processes, reached over the network.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails"
)]

mod audit_export;
mod authority;
mod backup;
mod bad_commands;
mod bad_input;
mod bad_requests;
mod bad_texts;
mod browser;
mod calls;
mod canary;
mod check;
mod commands;
mod config_check;
mod copied;
mod costly_import;
mod crash;
mod declared;
mod deploying;
mod dev_anywhere;
mod dev_app;
mod doctor;
mod drain;
mod edge;
mod files;
mod filled;
mod foreign;
mod foreign_tables;
mod guard;
mod guard_life;
mod guest_story;
mod guests;
mod health;
mod http_rpc;
mod image;
mod json;
mod lost;
mod mail;
mod mail_certificates;
mod mail_server;
mod moving_in;
mod no_pipes;
mod openapi;
mod operations;
mod outage;
mod page_json;
mod pages;
mod parallel;
mod place;
mod postgres;
mod proxies;
mod proxy_environment;
#[path = "../support/raw.rs"]
mod raw;
mod readme;
mod refused;
mod rehearsed;
mod relay;
mod restored;
mod sealing_key;
mod sealing_rotation;
mod sealing_several;
mod search;
mod server;
mod snippets;
mod stalled;
mod story;
mod surroundings;
mod tls;
mod trusted;
mod upgrades;
mod variables;
mod watchers;
mod watching;
