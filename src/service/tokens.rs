//! Tokens and sessions: issuing, refresh, revocation, introspection, and publishing revocations to verifiers. Imports
//! `runtime` and `access`.

mod client_token;
mod ended;
mod examine;
mod introspect;
mod logout;
mod mint;
mod refresh;
mod revoke;
mod session_end;
mod shared_snapshot;
mod sizes;
mod status_lists;
mod watch;

use std::sync::Arc;

use self::ended::EndedSessions;
pub(in crate::service) use self::mint::{Minter, Subject, TokenParams, audience_of, scopes_of, still_allowed};
pub use self::{
    client_token::ClientTokenRequest,
    examine::TokenFault,
    mint::{IssuedToken, TokenPair},
    refresh::RefreshInput,
    session_end::SessionsEnded,
    shared_snapshot::SnapshotPart,
    sizes::{SizeFigures, TOKEN_SIZES},
    status_lists::{PublishedList, ServedList, StatusLists},
    watch::{Revocations, WatchMessage, Watcher},
};
use super::{
    access::Callers,
    runtime::{Live, SessionWriter},
};
use crate::{domain::keys::Algorithm, keys::SealingKeys, store::Store};

/// Tokens and sessions after sign-in.
#[derive(Debug)]
pub struct Tokens {
    store: Store,
    live: Arc<Live>,
    sealing: Arc<SealingKeys>,
    writer: SessionWriter,
    callers: Callers,
    minter: Minter,
    ended: EndedSessions,
}

impl Tokens {
    pub(in crate::service) fn new(
        store: Store,
        sealing: Arc<SealingKeys>,
        writer: SessionWriter,
        callers: Callers,
        minter: Minter,
    ) -> Self {
        let live = minter.live().clone();
        Self { store, live, sealing, writer, callers, minter, ended: EndedSessions::default() }
    }

    /// How many session changes wait for their turn to be written.
    #[must_use]
    pub fn writes_waiting(&self) -> usize {
        self.writer.waiting()
    }

    /// The sizes of the tokens that this process issued, by algorithm, and how many it refused for their size.
    #[must_use]
    pub fn sizes(&self) -> ([(Algorithm, SizeFigures); 3], u64) {
        self.minter.sizes()
    }
}
