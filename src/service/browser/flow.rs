//! The state of a sign-in that has proved nothing yet, as it stands in URLs.

use super::{Browser, BrowserSession};
use crate::{
    domain::{
        assurance::{acr_needs_two_factors, acr_suffices},
        client::Client,
        flow::{FlowState, Prompt},
        site::Site,
    },
    keys::flow_seal,
    time::Timestamp,
};

/// The state of a flow that was found in a URL.
#[derive(Debug)]
pub enum FoundFlow {
    /// It can go on.
    Open(FlowState),
    /// It is too old. It may begin again.
    Over(FlowState),
    /// It is none of this site's.
    Unknown,
}

impl Browser {
    /// Begins a flow. Whatever `return_to` names counts from now on, and nothing else does.
    #[must_use]
    pub fn begin_flow(&self, (client, site): (&Client, &Site), return_to: Option<&str>, now: Timestamp) -> FlowState {
        FlowState::new(site, &client.id, return_to, now)
    }

    /// The text of a flow for URLs.
    #[must_use]
    pub fn seal_flow(&self, flow: &FlowState) -> String {
        flow_seal::seal_state(&self.runtime.sealing, flow, &*self.runtime.entropy)
    }

    /// The flow in a URL.
    #[must_use]
    pub fn open_flow(&self, text: &str, (client, site): (&Client, &Site), now: Timestamp) -> FoundFlow {
        match flow_seal::open_state(&self.runtime.sealing, text, site) {
            Some(flow) if *flow.client() != client.id => FoundFlow::Unknown,
            Some(flow) if flow.is_over(now) => FoundFlow::Over(flow),
            Some(flow) => FoundFlow::Open(flow),
            None => FoundFlow::Unknown,
        }
    }
}

/// Whether a session is all that a flow asks for. A guest is asked to sign in.
#[must_use]
pub fn suffices(session: &BrowserSession, flow: &FlowState) -> bool {
    let strong_enough = flow.required().acr.as_deref().is_none_or(|acr| acr_suffices(&session.acr, acr));
    strong_enough && is_recent(session, flow)
}

/// Whether a session is all that a flow asks for but for a second factor.
#[must_use]
pub fn lacks_second_factor(session: &BrowserSession, flow: &FlowState) -> bool {
    let two_factors = flow.required().acr.as_deref().is_some_and(acr_needs_two_factors);
    two_factors && !suffices(session, flow) && is_recent(session, flow)
}

fn is_recent(session: &BrowserSession, flow: &FlowState) -> bool {
    let required = flow.required();
    let since = |earliest: Timestamp| session.auth_time >= earliest;
    let recent_enough = required.max_age.is_none_or(|age| since(flow.issued_at().minus(age)));
    let asked_since = required.prompt != Some(Prompt::Login) || since(flow.issued_at());
    !session.is_guest() && recent_enough && asked_since
}
