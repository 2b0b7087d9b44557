//! What runs under every use case: the state in memory, the feed that keeps it up to date, the writer of
//! sessions, outgoing mail, and the deletion of what has expired. Imports no other folder of the service.

mod broadcast;
mod live;
mod outbox;
mod session_writer;
mod sweep;

use std::sync::Arc;

pub use self::{
    broadcast::{News, Told},
    live::{Live, Revoked, Snapshot},
    outbox::{Delivery, Fate, Outbox},
    sweep::{Sweep, Sweeper, Swept},
};
pub(in crate::service) use self::{
    live::Subscription,
    session_writer::{Opening, Revocation, SessionWriter},
};
use crate::{entropy::Entropy, keys::SealingKey, store::Store};

/// What nearly every use case needs. Cheap to clone.
#[derive(Clone)]
pub(in crate::service) struct Runtime {
    pub(in crate::service) store: Store,
    pub(in crate::service) live: Arc<Live>,
    pub(in crate::service) sealing: Arc<SealingKey>,
    pub(in crate::service) entropy: Arc<dyn Entropy>,
}

/// How many times a transaction that met another is run before its caller gets an error.
pub(in crate::service) const TRIES: usize = 5;
