//! The context of a call, known when it arrives.

use std::sync::{Arc, OnceLock};

use crate::{
    domain::{client::Client, mail::Language},
    error::{Error, Result},
    id::RequestId,
    time::Timestamp,
};

/// The context of a call, known when it arrives.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// When it arrived.
    pub now: Timestamp,
    /// Its id, for logs and INTERNAL errors.
    pub request_id: RequestId,
    /// The caller's deadline.
    pub deadline: Option<tokio::time::Instant>,
    /// The address it came from, as text.
    pub peer: String,
    /// The user agent that its client sends, as far as it can be printed.
    pub user_agent: String,
    /// The language of the page that a browser has asked for; nothing for calls.
    pub language: Option<Language>,
    /// The `Origin` header of a call that came by HTTP, as it was sent: the page whose script makes the call. Nothing for
    /// calls by gRPC, which no page can make.
    pub origin: Option<String>,
    /// The caller's name for the log: a client id or a user's subject.
    pub caller: CallerName,
}

impl RequestContext {
    /// Names the client of a site as the caller: a request for one of its pages, which the site's rules for requests
    /// of other sites admit.
    pub(crate) fn set_site_client(&self, client: &Client) {
        self.caller.set(client.id.as_str());
    }

    /// Fails if the call's deadline has passed, so that nothing is written for it.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`].
    pub(in crate::service) fn check_deadline(&self) -> Result<()> {
        match self.deadline {
            Some(at) if tokio::time::Instant::now() >= at => Err(Error::DeadlineExceeded),
            _ => Ok(()),
        }
    }
}

/// The caller's name. It is set once the caller has authenticated or, for a public client, identified itself.
#[derive(Clone, Debug, Default)]
pub struct CallerName(Arc<OnceLock<String>>);

impl CallerName {
    /// Sets the name. Later calls have no effect. Only [`Callers`](super::Callers) does: whoever has a name has been
    /// checked.
    pub(super) fn set(&self, name: &str) {
        let _ = self.0.set(name.to_owned());
    }

    /// The name; empty while the caller is unknown.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get().map_or("", String::as_str)
    }
}
