//! What the application keeps with the session behind a cookie.

use super::{Browser, BrowserSession};
use crate::{
    domain::{session::Session, session_data::DataSession},
    service::{access::DataCaller, people::NewGuest},
};

impl Browser {
    /// The session of a cookie that was checked, as the caller for what is kept with it.
    #[must_use]
    pub fn data_caller(&self, session: &BrowserSession) -> DataCaller {
        DataCaller::of_session(session.id.clone(), session.is_guest())
    }

    /// The session of a cookie that was checked, as the owner of what is kept with it.
    #[must_use]
    pub fn data_session(&self, session: &Session) -> DataSession {
        // No row changes its user: what a guest has goes to another session.
        let user = session.user.as_ref().map_or_else(|| session.subject.clone(), |user| user.as_str().to_owned());
        DataSession { id: session.id.clone(), user, client: session.client.clone(), is_guest: session.is_guest() }
    }

    /// A guest who has just come, as the same.
    #[must_use]
    pub fn data_caller_of(&self, guest: &NewGuest) -> DataCaller {
        DataCaller::of_session(guest.session.id.clone(), true)
    }
}
