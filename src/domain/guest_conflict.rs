//! What a guest and an account both had when the guest signed in.

use super::{guest::GuestDataPolicy, session_data::DataValue};

/// A namespace in which both had data, or for which the account had no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestConflict {
    /// The namespace.
    pub namespace: String,
    /// What was done about it.
    pub policy: GuestDataPolicy,
    /// What the guest had.
    pub guest: DataValue,
    /// What the account had; nothing if there was no room for the guest's.
    pub account: Option<DataValue>,
}
