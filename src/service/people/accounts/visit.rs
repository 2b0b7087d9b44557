//! A browser in which somebody asks for a mail.

use serde::{Deserialize, Serialize};

use crate::{domain::mail::Asked, id::VisitorId, service::access::RequestContext};

/// The browser in which somebody has asked for a mail. It is kept in the sealed part of the ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::service) struct Visit {
    visitor: [u8; 16],
    /// Where the visitor was going; empty for the site's home.
    pub(super) return_to: String,
}

impl Visit {
    pub(super) fn new(visitor: &VisitorId, return_to: &str) -> Self {
        Self { visitor: visitor.0, return_to: return_to.to_owned() }
    }

    /// Whether this is the visitor who asked.
    pub(super) fn is_of(&self, visitor: &VisitorId) -> bool {
        self.visitor == visitor.0
    }
}

/// When and through what somebody in a browser asks for a mail. A browser connects itself, whatever its client is.
pub(super) fn asked_in_browser(ctx: &RequestContext) -> Asked {
    Asked { at: Some(ctx.now), address: ctx.peer.clone(), user_agent: ctx.user_agent.clone() }
}
