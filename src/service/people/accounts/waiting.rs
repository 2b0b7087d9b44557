//! What a browser keeps while its user reads a mail: sealed, in the URL of the page that asks for the code. There is no
//! row for it, and no cookie: each tab waits for its own mail.

use serde::{Deserialize, Serialize};

use super::{Accounts, at_site::AtSite};
use crate::{
    domain::{site::Site, ticket::TicketKind},
    error::{Error, Result},
    id::VisitorId,
    keys::flow_seal,
    time::Timestamp,
};

/// What the sealed text of a state begins with, so that it is never taken for another that is sealed alike.
const PREFIX: &[u8] = b"waiting v1\0";

/// What a mailed code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// Opening an account.
    Register,
    /// Another address for an account.
    NewAddress,
    /// A new password.
    NewPassword,
}

impl Awaited {
    /// How long the code is valid.
    const fn ticket(self) -> TicketKind {
        match self {
            Self::Register => TicketKind::Register,
            Self::NewAddress => TicketKind::VerifyEmail,
            Self::NewPassword => TicketKind::PasswordReset,
        }
    }
}

/// A browser that waits for the code of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What the code is for.
    pub awaited: Awaited,
    /// The ticket that the code belongs to.
    pub ticket: String,
    /// Where the mail went to, as typed.
    pub to: String,
    /// Where the visitor is going; empty for the site's home.
    pub return_to: String,
    /// The id of the form in which the code is typed.
    pub form: [u8; 16],
    /// When the code becomes too old.
    #[serde(skip, default = "never")]
    pub ends_at: Timestamp,
}

/// The end of a state that was not read yet.
const fn never() -> Timestamp {
    Timestamp::from_millis(0)
}

/// A state as it is sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    waiting: Waiting,
    site: String,
    visitor: [u8; 16],
    /// When it was made, in milliseconds.
    at: i64,
}

impl Accounts {
    /// Seals the state of a browser that has just asked for a mail.
    ///
    /// # Errors
    /// If it is too long for a URL: a violation by what was typed.
    pub fn seal_waiting(&self, at: AtSite<'_>, awaited: Awaited, (ticket, to): (String, &str)) -> Result<String> {
        let waiting = Waiting {
            awaited,
            ticket,
            to: to.to_owned(),
            return_to: at.return_to.to_owned(),
            form: self.entropy.bytes16(),
            ends_at: at.ctx.now.plus(awaited.ticket().lifetime()),
        };
        let site = at.client.config.site.as_ref().map(Site::origin).unwrap_or_default().to_owned();
        let sealed = Sealed { waiting, site, visitor: at.visitor.0, at: at.ctx.now.millis() };
        let json = serde_json::to_vec(&sealed).map_err(|e| Error::Internal(Box::new(e)))?;
        let text = flow_seal::seal(&self.sealing, &[PREFIX, &json].concat(), &*self.entropy);
        text.ok_or_else(|| Error::invalid("return_to", "is too long"))
    }

    /// The state that a text holds, if it is of this browser, at this site, and its code may still be valid.
    #[must_use]
    pub fn open_waiting(&self, text: &str, site: &Site, visitor: &VisitorId) -> Option<Waiting> {
        let plain = flow_seal::open(&self.sealing, text)?;
        let sealed: Sealed = serde_json::from_slice(plain.strip_prefix(PREFIX)?).ok()?;
        let Sealed { waiting, site: origin, visitor: of, at } = sealed;
        let ends_at = Timestamp::from_millis(at).plus(waiting.awaited.ticket().lifetime());
        let valid = origin == site.origin() && of == visitor.0 && self.live.now() < ends_at;
        valid.then_some(Waiting { ends_at, ..waiting })
    }
}
