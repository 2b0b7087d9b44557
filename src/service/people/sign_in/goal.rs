//! What a sign-in at a page leads to.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        client::Client,
        guest::{GuestDataPolicy, GuestJoin, GuestPolicies, SigningBrowser},
    },
    id::{SessionId, UserId},
};

/// The session that a browser has when its user signs in once more. The new one replaces it.
#[derive(Clone, Debug)]
pub struct PresentSession {
    /// The session.
    pub id: SessionId,
    /// Whose it is: nobody else signs in over it. None if it is a guest's.
    pub user: Option<UserId>,
}

impl PresentSession {
    /// The guest's session that a sign-in at a client's site joins, if it is one.
    pub(super) fn guest_of(&self, client: &Client) -> Option<GuestJoin> {
        self.user.is_none().then(|| GuestJoin { session: self.id.clone(), policies: policies_of(client) })
    }

    /// The session, if it is an account's.
    pub(super) fn own(&self) -> Option<&SessionId> {
        self.user.as_ref().map(|_| &self.id)
    }

    /// Whether it is a session of somebody else than this user.
    pub(super) fn is_of_another(&self, user: &UserId) -> bool {
        self.user.as_ref().is_some_and(|own| own != user)
    }
}

fn policies_of(client: &Client) -> GuestPolicies {
    GuestPolicies { default: GuestDataPolicy::default(), of: client.config.guest_data.clone() }
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
    /// Whether it takes two factors.
    #[serde(default)]
    pub two_factors: bool,
    /// The keyed hash of the browser, where it may be a guest's.
    #[serde(default)]
    pub browser: Option<[u8; 32]>,
}

impl BrowserGoal {
    /// The browser, where it may be a guest's.
    pub(super) fn signing_browser(&self, client: &Client) -> Option<SigningBrowser> {
        self.browser.map(|proof| SigningBrowser { proof, policies: policies_of(client) })
    }
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
