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

mod check;
mod claims;
mod clock;
mod jws;
mod keys;
#[cfg(feature = "http")]
mod verifier;

pub use check::{Policy, VerifyError, check};
pub use claims::Claims;
pub use clock::{Clock, FixedClock, SystemClock};
pub use keys::{Algorithm, KeySet, KeySetError};
#[cfg(feature = "http")]
pub use verifier::Verifier;

/// The program in the project's README must compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
