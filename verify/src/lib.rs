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
//! [`check`] is the core: a pure function of token, keys, policy and time. [`Verifier`] adds a key set that it
//! fetches, caches, and fetches again when a token names a key the set does not have.

#[cfg(feature = "http")]
mod bearer;
mod check;
mod claims;
mod clock;
#[cfg(feature = "http")]
mod freshness;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod jws;
mod keys;
#[cfg(feature = "tower")]
pub mod middleware;
#[cfg(feature = "testing")]
pub mod testing;
mod token_cache;
#[cfg(feature = "http")]
mod verifier;
#[cfg(feature = "watch")]
mod watch;
mod weight;

/// A gRPC endpoint, re-exported from tonic.
#[cfg(feature = "watch")]
pub use ::tonic::transport::Endpoint;
#[cfg(feature = "http")]
pub use bearer::{Gate, Refusal};
pub use check::{Policy, VerifyError, check};
pub use claims::{Claims, ExtraClaims};
pub use clock::{Clock, FixedClock, SystemClock};
#[cfg(feature = "http")]
pub use freshness::Freshness;
pub use keys::{Algorithm, KeySet, KeySetError};
pub use token_cache::TokenCache;
#[cfg(feature = "http")]
pub use verifier::{Health, Verifier};
#[cfg(feature = "watch")]
pub use watch::{Watch, WatchError};

/// The programs in the README must compile, and those that need no server must run.
#[cfg(all(doctest, feature = "testing", feature = "watch"))]
#[doc = include_str!("../README.md")]
struct Readme;
