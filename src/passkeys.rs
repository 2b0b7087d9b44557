//! Passkeys (WebAuthn Level 3): what browsers are asked, and the check of what they answer. The only place that names
//! `webauthn_rp`.
//! Imports `domain`, `entropy` and what is below.

mod assertion;
mod ceremony;
mod fault;
mod options;
mod registration;
mod relying_party;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    assertion::{Purpose, Signed, Used},
    fault::PasskeyFault,
    options::{creation_options, request_options},
    registration::{NewPasskey, register},
    relying_party::RelyingParty,
};
use crate::entropy::Entropy;

/// The most that a browser's answer may have, in bytes. An answer has 1 to 2 KiB.
pub const MAX_RESPONSE: usize = 64 * 1024;

/// What an authenticator has to sign: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Challenge([u8; 16]);

impl Challenge {
    /// A new challenge.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self(entropy.bytes16())
    }

    /// The challenge with these bytes, which must be random and of one ceremony alone.
    #[must_use]
    pub const fn of(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenge(…)")
    }
}
