//! The context of a call, known when it arrives.

use std::sync::{Arc, OnceLock};

use crate::{
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
    /// The caller's name for the log: a client id or a user's subject.
    pub caller: CallerName,
}

impl RequestContext {
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
    /// Sets the name. Later calls have no effect.
    pub(crate) fn set(&self, name: &str) {
        let _ = self.0.set(name.to_owned());
    }

    /// The name; empty while the caller is unknown.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get().map_or("", String::as_str)
    }
}
