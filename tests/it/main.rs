//! Tests of the whole crate that need no server process.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails"
)]

mod architecture;
mod migrations;
mod refresh;
mod rotation;
mod start;
mod support;
