//! What a sign-in at a page leads to.

use serde::{Deserialize, Serialize};

use crate::id::{SessionId, UserId};

/// The session that a browser has when its user signs in once more. The new one replaces it.
#[derive(Clone, Debug)]
pub struct PresentSession {
    /// The session.
    pub id: SessionId,
    /// Whose it is. Nobody else signs in over it.
    pub user: UserId,
}

/// What a sign-in at a page leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserGoal {
    /// The origin of the site.
    pub site: String,
    /// The sealed state of the flow, as it stands in URLs.
    pub flow: String,
    /// Whether others use the computer too: the cookie ends with the browser.
    pub shared: bool,
}

/// What a sign-in at a page keeps for its further steps.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StateAtPage {
    pub(super) goal: BrowserGoal,
    /// What was typed as user name.
    pub(super) login: String,
    /// The keyed hash of what was typed at the step before.
    pub(super) last_proof: Option<[u8; 32]>,
}

impl StateAtPage {
    pub(super) fn new(goal: &BrowserGoal, login: &str) -> Self {
        Self { goal: goal.clone(), login: login.to_owned(), last_proof: None }
    }
}
