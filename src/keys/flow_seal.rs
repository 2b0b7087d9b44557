//! Sealing the state of a sign-in that has proved nothing yet, which stands in the URL as `r` and nowhere else.

use zeroize::Zeroizing;

use super::{fresh_seal, sealing::SealingKey, sealing_keys::SealingKeys};
use crate::{
    domain::{flow::FlowState, site::Site},
    entropy::Entropy,
};

/// The longest `r`.
pub const MAX_TEXT: usize = fresh_seal::MAX_TEXT;
/// The most bytes that can be sealed.
pub const MAX_PLAIN: usize = fresh_seal::MAX_PLAIN;

/// Encrypts the state of a flow. Returns nothing if it has more than [`MAX_PLAIN`] bytes.
#[must_use]
pub fn seal(keys: &SealingKeys, plain: &[u8], entropy: &dyn Entropy) -> Option<String> {
    (plain.len() <= MAX_PLAIN).then(|| fresh_seal::seal(keys, SealingKey::flow_keys, plain, entropy))
}

/// Decrypts the state of a flow. Returns nothing unless this server sealed it as one.
#[must_use]
pub fn open(keys: &SealingKeys, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    fresh_seal::open(keys, SealingKey::flow_keys, text)
}

/// The `r` of a flow. It always fits: a state with the longest path and the longest name of a client does. One that has a
/// language besides may not, and goes without it; and one that leads to a page below the prefix goes without the path,
/// which comes after that page.
#[must_use]
pub fn seal_state(keys: &SealingKeys, state: &FlowState, entropy: &dyn Entropy) -> String {
    let plain = || state.clone().in_language(None);
    let whole = [state.to_bytes(), plain().to_bytes()].into_iter().find(|bytes| bytes.len() <= MAX_PLAIN);
    let bytes = whole.unwrap_or_else(|| plain().without_return_path().to_bytes());
    fresh_seal::seal(keys, SealingKey::flow_keys, &bytes, entropy)
}

/// The flow of an `r`; nothing unless this server sealed it for this site. It may be over.
#[must_use]
pub fn open_state(keys: &SealingKeys, text: &str, site: &Site) -> Option<FlowState> {
    FlowState::from_bytes(&open(keys, text)?, site)
}
