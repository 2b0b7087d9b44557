//! Sessions behind a cookie: what kind a session is, what a sign-in form spends, and when a use of the cookie is noted.

use std::fmt;

use super::Session;
use crate::{
    domain::guest_conflict::GuestConflict,
    id::{SessionId, TicketId},
    time::{Timestamp, Ttl},
};

/// For how long a form that was submitted again gets the result of the first time.
pub const RESULT_TTL: Ttl = Ttl::from_secs(60);

/// What a session is used with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionKind {
    /// Refresh tokens.
    #[default]
    Token,
    /// The cookie of a browser.
    Browser,
    /// A personal access token.
    Pat,
}

impl SessionKind {
    const ALL: [Self; 3] = [Self::Token, Self::Browser, Self::Pat];

    /// The name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Browser => "browser",
            Self::Pat => "pat",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }
}

/// A form that is spent by opening a session.
#[derive(Clone)]
pub struct FormSpending {
    /// The random id of the form.
    pub id: [u8; 16],
    /// The keyed hash of what was proved with it.
    pub proof: [u8; 32],
    /// The cookie, sealed.
    pub result: Vec<u8>,
}

impl fmt::Debug for FormSpending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormSpending")
    }
}

/// The last step of a sign-in, which is taken by opening a session.
#[derive(Clone)]
pub struct TicketSpending {
    /// The ticket.
    pub id: TicketId,
    /// Who may take its steps.
    pub holder: [u8; 32],
    /// The step that is taken.
    pub revision: i64,
    /// The cookie, sealed.
    pub result: Vec<u8>,
}

impl fmt::Debug for TicketSpending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketSpending").field("id", &self.id).field("revision", &self.revision).finish_non_exhaustive()
    }
}

/// A form that has opened a session.
#[derive(Clone)]
pub struct SpentForm {
    /// The keyed hash of what was proved with it.
    pub proof: [u8; 32],
    /// The session that it opened.
    pub session: SessionId,
    /// The cookie, sealed, for [`RESULT_TTL`].
    pub result: Option<Vec<u8>>,
    /// When it was spent.
    pub spent_at: Timestamp,
}

impl fmt::Debug for SpentForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpentForm")
            .field("session", &self.session)
            .field("spent_at", &self.spent_at)
            .finish_non_exhaustive()
    }
}

/// The outcome of opening a session. Unless it was opened, nothing was written.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum OpenOutcome {
    /// The session is open.
    Opened,
    /// The session is open, and a guest has become its user: these are the namespaces in which both had data.
    Joined(Vec<GuestConflict>),
    /// The user has changed since the password was checked.
    UserChanged,
    /// The form was spent before, or the step was taken before.
    FormSpent,
    /// The session that it was to replace, or to be opened from, has ended.
    BasisEnded,
}

/// A use of a session's cookie, which postpones the session's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTouch {
    /// The session.
    pub session: SessionId,
    /// When it expires now unless it is used again.
    pub idle_expires_at: Timestamp,
}

/// The least time between two touches of a session that may be idle for so long. A use in between is not noted, so
/// that uses cost no write.
#[must_use]
pub fn touch_interval(idle_ttl: Ttl) -> Ttl {
    const LEAST: i64 = 60_000;
    const MOST: i64 = 3_600_000;
    Ttl::from_millis((idle_ttl.millis() / 32).clamp(LEAST, MOST))
}

/// When a session behind a cookie expires if it is used now and not again: never earlier than promised, although the
/// uses of the next interval are not noted.
#[must_use]
pub fn browser_idle_expiry(now: Timestamp, idle_ttl: Ttl) -> Timestamp {
    now.plus(idle_ttl).plus(touch_interval(idle_ttl))
}

impl Session {
    /// The touch that is due when the session's cookie is used now, if one is.
    #[must_use]
    pub fn touch_due(&self, now: Timestamp) -> Option<SessionTouch> {
        let idle_expires_at = browser_idle_expiry(now, self.idle_ttl);
        let is_due = self.idle_expires_at.plus(touch_interval(self.idle_ttl)) <= idle_expires_at;
        // It cannot live longer than to its absolute expiry, so there is nothing to postpone.
        let helps = self.idle_expires_at < self.absolute_expires_at;
        let touch = || SessionTouch { session: self.id.clone(), idle_expires_at };
        (is_due && helps && self.kind == SessionKind::Browser).then(touch)
    }
}
