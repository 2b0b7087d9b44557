//! The person behind a call.

use super::new_passwords::{end_user_address, known_end_user};
use crate::{
    domain::{client::Client, end_user::EndUser, mail::Asked},
    service::access::RequestContext,
};

/// The person behind a call, as far as they are known.
#[derive(Clone, Debug)]
pub(in crate::service) struct Person {
    /// The address that their attempts are counted by.
    address: String,
    /// What is written down about them.
    known: EndUser,
}

impl Person {
    /// A person who uses an application. What it says about them counts as far as it is trusted.
    pub(in crate::service) fn behind(ctx: &RequestContext, client: &Client, stated: &EndUser) -> Self {
        let address = end_user_address(ctx, client, stated).to_owned();
        Self { address, known: known_end_user(ctx, client, stated) }
    }

    /// A person whose browser has sent the request: the connection is theirs, whatever the client is.
    pub(in crate::service) fn at_browser(ctx: &RequestContext) -> Self {
        Self { address: ctx.peer.clone(), known: EndUser::of_connection(&ctx.peer, &ctx.user_agent) }
    }

    /// The address that their attempts are counted by.
    pub(in crate::service) fn address(&self) -> &str {
        &self.address
    }

    /// What is written down about them.
    pub(in crate::service) fn known(&self) -> &EndUser {
        &self.known
    }

    /// When and through what they ask for a mail.
    pub(in crate::service) fn asked(&self, ctx: &RequestContext) -> Asked {
        let user_agent = self.known.user_agent().to_owned();
        Asked { at: Some(ctx.now), address: self.address.clone(), user_agent }
    }
}
