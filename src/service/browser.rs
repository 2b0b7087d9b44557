//! The browser side: sessions behind cookies, and the pages that open and end them. Imports `runtime`, `access`,
//! `tokens` and `people`.

mod changes;
mod check;
mod data;
mod ended;
mod flights;
mod flow;
mod guests;
mod own_account;
mod own_factors;
mod passkey;
mod sign_in;
mod sign_out;
mod visitors;

use std::{fmt, sync::Arc};

pub use self::{
    check::{BrowserSession, HEADERS, Identity, empty_headers},
    ended::EndedSession,
    flow::{FoundFlow, lacks_second_factor, suffices},
    own_account::{
        AccountForm, FactorAdded, NewPasswordAtSite, PasswordChanged, ResetOutcome, SiteAccounts, VerifyOutcome,
    },
    passkey::PasskeyForm,
    sign_in::{SignInForm, SignInOutcome},
    visitors::Visitor,
};
use self::{
    check::{BrowserSessions, Identities},
    guests::RecentGuests,
    sign_in::Submissions,
};
use super::{
    people::SignIns,
    runtime::{Runtime, SessionWriter},
    tokens::Minter,
};
use crate::time::Clock;

/// What the use cases of browsers are made of.
pub(in crate::service) struct BrowserParts {
    pub(in crate::service) runtime: Runtime,
    pub(in crate::service) writer: SessionWriter,
    pub(in crate::service) minter: Minter,
    pub(in crate::service) clock: Arc<dyn Clock>,
    pub(in crate::service) sign_ins: SignIns,
}

/// The use cases of browsers. Cheap to clone.
#[derive(Clone)]
pub struct Browser {
    runtime: Runtime,
    writer: SessionWriter,
    sessions: BrowserSessions,
    identities: Identities,
    sign_ins: SignIns,
    submissions: Submissions,
    recent_guests: RecentGuests,
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Browser")
    }
}

impl Browser {
    pub(in crate::service) fn new(parts: BrowserParts) -> Self {
        let BrowserParts { runtime, writer, minter, clock, sign_ins } = parts;
        let identities = Identities::new(runtime.live.clone(), minter);
        let sessions = BrowserSessions::new(runtime.clone(), clock);
        Self {
            runtime,
            writer,
            sessions,
            identities,
            sign_ins,
            submissions: Submissions::default(),
            recent_guests: RecentGuests::default(),
        }
    }
}
