//! The base of every use case: the in-memory state and the feed that keeps it up to date, the session writer,
//! outgoing mail, and deletion of expired rows. Imports no other folder of the service.

mod broadcast;
mod live;
mod origins;
mod outbox;
mod presence;
mod session_writer;
mod sites;
mod snapshot;
mod sweep;

use std::sync::Arc;

pub use self::{
    broadcast::{Notice, NoticeKind},
    live::Live,
    outbox::{Delivery, DeliveryOutcome, Outbox},
    presence::Presence,
    snapshot::{Revoked, Snapshot},
    sweep::{SweepProgress, SweepStep, Sweeper},
};
pub(in crate::service) use self::{
    live::Subscription,
    outbox::mail_purpose,
    session_writer::{Revocation, SessionWriter},
};
use crate::{entropy::Entropy, error::Error, keys::SealingKeys, store::Store};

/// Dependencies that nearly every use case needs. Cheap to clone.
#[derive(Clone)]
pub(in crate::service) struct Runtime {
    pub(in crate::service) store: Store,
    pub(in crate::service) live: Arc<Live>,
    pub(in crate::service) sealing: Arc<SealingKeys>,
    pub(in crate::service) entropy: Arc<dyn Entropy>,
}

/// How many times a transaction is tried before a conflict is returned to the caller.
pub(in crate::service) const TRIES: usize = 5;

/// Copies an error for another waiter.
pub(in crate::service) fn copy_error(error: &Error) -> Error {
    match error {
        Error::Conflict => Error::Conflict,
        Error::DeadlineExceeded => Error::DeadlineExceeded,
        Error::Throttled { after } => Error::Throttled { after: *after },
        Error::TokenTooLarge { field, token } => Error::TokenTooLarge { field, token: token.clone() },
        Error::Internal(source) => Error::Internal(source.to_string().into()),
        other => Error::Unavailable(
            std::error::Error::source(other).map_or_else(|| other.to_string(), ToString::to_string).into(),
        ),
    }
}
