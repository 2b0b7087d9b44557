//! Chancery signs users and services in over gRPC and issues JWTs that any service verifies offline.
//!
//! | module | owns |
//! |---|---|
//! | [`time`], [`entropy`], [`id`], [`secret`], [`error`], [`metrics`] | basic types that every other module uses |
//! | [`domain`] | pure rules and state machines |
//! | [`store`] | the database |
//! | [`keys`] | sealing key, signing keys, tokens |
//! | [`passwords`] | password hashing on a dedicated thread pool |
//! | [`passkeys`] | what browsers are asked for a passkey, and the check of what they answer |
//! | [`mail`] | mail texts and delivery to a mail server |
//! | [`service`] | use cases |
//! | [`grpc`], [`web`] | the two edges |
//! | [`app`] | configuration, startup, listeners, shutdown |
//! | [`cli`] | the command line |
//!
//! Imports go one way: `time, entropy, id, secret, error, metrics ← domain ← store, keys, passwords,
//! passkeys, mail ← service ← grpc | web ← app ← cli`. A test checks this against the sources.

pub mod app;
pub mod cli;
pub mod domain;
pub mod entropy;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod grpc;
pub mod id;
pub mod keys;
pub mod mail;
pub mod metrics;
pub mod passkeys;
pub mod passwords;
pub mod secret;
pub mod service;
pub mod store;
pub mod time;
pub mod web;

/// The program in the README must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
