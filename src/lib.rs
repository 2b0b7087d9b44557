//! Chancery signs users and services in over gRPC and issues JWTs that any service verifies offline.
//!
//! | module | owns |
//! |---|---|
//! | [`time`], [`entropy`], [`id`], [`secret`], [`error`], [`metrics`] | values that everything else is made of |
//! | [`domain`] | pure rules and state machines |
//! | [`store`] | the database |
//! | [`keys`] | sealing key, signing keys, tokens |
//! | [`passwords`] | hashing on threads of its own |
//! | [`mail`] | the words of mails, and the way to a mail server |
//! | [`service`] | use cases |
//! | [`grpc`], [`web`] | the two edges |
//! | [`app`] | configuration, start, listeners, shutdown |
//! | [`cli`] | the command line |
//!
//! Imports go one way: `time, entropy, id, secret, error, metrics ← domain ← store, keys, passwords,
//! mail ← service ← grpc | web ← app ← cli`. A test reads the sources and checks it.

pub mod app;
pub mod cli;
pub mod domain;
pub mod entropy;
pub mod error;
pub mod grpc;
pub mod id;
pub mod keys;
pub mod mail;
pub mod metrics;
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
