//! Mails as they leave: made from templates, handed to a mail server, or kept for a demo. Imports `time`,
//! `entropy`, `id`, `secret`, `error`, `domain`. The only place that may name lettre or minijinja.
//!
//! Nothing here knows the database: the caller holds the mail and is told what became of it.

mod kept;
mod message;
mod relay;
mod smtp;
mod templates;

use std::{fmt, sync::Arc};

pub use self::{
    kept::{Kept, KeptMail},
    message::Sender,
    relay::{Relay, Security},
    smtp::{Smtp, SmtpOptions, TIMEOUT},
    templates::Templates,
};
use crate::{
    domain::mail::{Language, MailKind, Params, Recipient},
    id::MailId,
    time::Timestamp,
};

/// A mail whose words are still to be found.
pub struct Letter {
    /// Its id, and what its Message-ID is made from: sent twice, it can be recognised.
    pub id: MailId,
    /// To whom.
    pub to: Recipient,
    /// What it is about.
    pub kind: MailKind,
    /// In which language.
    pub language: Language,
    /// What its templates get.
    pub params: Params,
    /// When it is sent.
    pub now: Timestamp,
    /// When its code ends.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Letter {
    /// Without its parameters: they hold codes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What a reader sees.
pub struct Rendered {
    /// The subject, on one line.
    pub subject: String,
    /// The part in plain text.
    pub text: String,
    /// The part in HTML.
    pub html: String,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rendered(…)")
    }
}

/// Why a mail was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The mail server will not have it, now or later.
    Refused,
    /// The mail server will not have it now.
    Temporary,
    /// The mail server took too long.
    Timeout,
    /// There is no connection to the mail server, or none that is safe, or it knows no such user.
    Connection,
    /// It cannot be opened or put into words here.
    Broken,
}

impl Cause {
    /// The name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Temporary => "temporary",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Broken => "broken",
        }
    }
}

/// A failure, for metrics and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Of which kind.
    pub cause: Cause,
    /// In words, on one line; the mail server's where it gave any.
    pub detail: String,
}

/// Most characters of a mail server's words that are logged.
const MAX_DETAIL: usize = 200;

impl Failure {
    /// A failure with its words cut to a line.
    #[must_use]
    pub fn new(cause: Cause, detail: &str) -> Self {
        let line = detail.chars().map(|c| if c.is_control() { ' ' } else { c });
        Self { cause, detail: line.take(MAX_DETAIL).collect() }
    }
}

/// What sends mails.
#[derive(Debug)]
pub enum Mailer {
    /// A mail server.
    Smtp(Box<Smtp>),
    /// Nobody: they are kept in memory.
    Kept(Arc<Kept>),
}

/// Words and a way to send them.
#[derive(Debug)]
pub struct Post {
    /// The words.
    pub templates: Templates,
    /// The way.
    pub mailer: Mailer,
}

impl Post {
    /// Sends a mail. `Ok` means that somebody else has taken it over for good.
    ///
    /// # Errors
    /// Why it was not sent. After [`Cause::Timeout`] and [`Cause::Connection`] it may have been all the same.
    pub async fn send(&self, letter: &Letter) -> Result<(), Failure> {
        let rendered = self.templates.render(letter).map_err(|problem| Failure::new(Cause::Broken, &problem))?;
        match &self.mailer {
            Mailer::Smtp(smtp) => smtp.send(letter, rendered).await,
            Mailer::Kept(kept) => {
                kept.keep(letter, rendered);
                Ok(())
            }
        }
    }

    /// Ends what was left open for a next mail.
    pub async fn rest(&self) {
        if let Mailer::Smtp(smtp) = &self.mailer {
            smtp.rest().await;
        }
    }
}
