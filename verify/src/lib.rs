//! Verifies Chancery access tokens offline.
//!
//! ```no_run
//! # #[cfg(feature = "http")]
//! # async fn example(token: &str) -> Result<(), chancery_verify::VerifyError> {
//! use chancery_verify::Verifier;
//!
//! let verifier = Verifier::new("https://id.example.com", "orders-api");
//! let claims = verifier.verify(token).await?;
//! println!("{} may {:?}", claims.subject, claims.scopes);
//! # Ok(())
//! # }
//! ```
//!
//! [`check`] is the whole check as a pure function: token, keys, policy, time. [`Verifier`] adds a key
//! set that is fetched, cached, and fetched again when a token names a key it does not hold.

#[cfg(feature = "http")]
mod bearer;
mod check;
mod claims;
mod clock;
#[cfg(feature = "http")]
mod freshness;
mod jws;
mod keys;
#[cfg(feature = "tower")]
pub mod middleware;
mod seen;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "http")]
mod verifier;
#[cfg(feature = "watch")]
mod watch;

/// Where gRPC is spoken, of tonic.
#[cfg(feature = "watch")]
pub use ::tonic::transport::Endpoint;
#[cfg(feature = "http")]
pub use bearer::{Gate, Refusal};
pub use check::{Policy, VerifyError, check};
pub use claims::Claims;
pub use clock::{Clock, FixedClock, SystemClock};
#[cfg(feature = "http")]
pub use freshness::Freshness;
pub use keys::{Algorithm, KeySet, KeySetError};
pub use seen::CheckedTokens;
#[cfg(feature = "http")]
pub use verifier::{Health, Verifier};
#[cfg(feature = "watch")]
pub use watch::{Watch, WatchError};

/// The programs in the README must compile, and those that need no server must run.
#[cfg(all(doctest, feature = "testing", feature = "watch"))]
#[doc = include_str!("../README.md")]
struct Readme;
