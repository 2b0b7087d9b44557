#![cfg_attr(
    all(feature = "axum", feature = "testing", feature = "tonic", feature = "watch"),
    doc = include_str!("../README.md")
)]
#![cfg_attr(
    not(all(feature = "axum", feature = "testing", feature = "tonic", feature = "watch")),
    doc = "Verifies Chancery access tokens offline. [`check`] is the core: a pure function of token, keys, policy and \
           time. With the feature `http`, a `Verifier` keeps the issuer's keys and its revocations up to date."
)]

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "http")]
mod bearer;
#[cfg(feature = "http")]
mod causes;
mod check;
mod claims;
mod clock;
#[cfg(feature = "http")]
mod freshness;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod json;
mod jws;
mod keys;
#[cfg(feature = "tower")]
pub mod middleware;
// What the guard shares; no API.
#[cfg(feature = "http")]
#[doc(hidden)]
pub mod small_file;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "http")]
mod tls_files;
mod token_cache;
#[cfg(feature = "http")]
mod verifier;
#[cfg(feature = "watch")]
mod watch;
mod weight;

#[cfg(feature = "http")]
pub use bearer::{Gate, Refusal, bearer_token};
pub use check::{Policy, VerifyError, check};
pub use claims::{ClaimError, Claims, ExtraClaims};
pub use clock::{Clock, FixedClock, SystemClock};
#[cfg(feature = "http")]
pub use freshness::Freshness;
pub use keys::{Algorithm, KeySet, KeySetError};
#[cfg(feature = "http")]
pub use tls_files::TlsFiles;
pub use token_cache::TokenCache;
#[cfg(feature = "http")]
pub use verifier::{Health, SettingsError, Verifier, VerifierBuilder};
#[cfg(feature = "watch")]
pub use watch::{Watch, WatchBuilder, WatchError};
