//! What is known about a call before its message is read.

use std::sync::{Arc, OnceLock};

use crate::{
    error::{Error, Result},
    id::RequestId,
    time::Timestamp,
};

/// What is known about a call before its message is read.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// When it arrived.
    pub now: Timestamp,
    /// Its id, for logs and INTERNAL errors.
    pub request_id: RequestId,
    /// When its caller gives up.
    pub deadline: Option<tokio::time::Instant>,
    /// The address it came from, as text.
    pub peer: String,
    /// Who the caller is, for the log: a client's id or a user's subject.
    pub caller: CallerName,
}

impl RequestContext {
    /// Refuses to go on once the call's deadline has passed: nothing is written for it then.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`].
    pub(in crate::service) fn in_time(&self) -> Result<()> {
        match self.deadline {
            Some(at) if tokio::time::Instant::now() >= at => Err(Error::DeadlineExceeded),
            _ => Ok(()),
        }
    }
}

/// The caller's name, known once the caller has proved it or, as a public client, stated it.
#[derive(Clone, Debug, Default)]
pub struct CallerName(Arc<OnceLock<String>>);

impl CallerName {
    /// Notes the name; the first one stays.
    pub(in crate::service) fn set(&self, name: &str) {
        let _ = self.0.set(name.to_owned());
    }

    /// The name; empty while the caller is unknown.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get().map_or("", String::as_str)
    }
}
