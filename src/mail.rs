//! Sending mails: rendering templates, and handing mails to a mail server, or keeping them for a demo. Imports
//! `time`, `entropy`, `id`, `secret`, `error` and `domain`. This is the only place that may name lettre or minijinja.
//!
//! This module does not know the database. The caller owns the mail and gets the result of sending it.

mod kept;
mod message;
mod relay;
mod smtp;
mod templates;
mod tls;

use std::{fmt, sync::Arc};

pub use self::{
    kept::{Kept, KeptMail},
    message::Sender,
    relay::{Relay, Security},
    smtp::{Smtp, SmtpOptions, TIMEOUT},
    templates::Templates,
};
use crate::{
    domain::mail::{Language, MailKind, MailParams, Recipient},
    id::MailId,
    time::Timestamp,
};

/// A mail that has not been rendered yet.
pub struct Letter {
    /// The id. The Message-ID is made from it, so that a mail sent twice can be recognised.
    pub id: MailId,
    /// The recipient.
    pub to: Recipient,
    /// The kind.
    pub kind: MailKind,
    /// The language.
    pub language: Language,
    /// The parameters for its templates.
    pub params: MailParams,
    /// When it is sent.
    pub now: Timestamp,
    /// When its code expires.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Letter {
    /// Omits the parameters, which contain codes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A rendered mail.
pub struct Rendered {
    /// The subject, on one line.
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part.
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
    /// The mail server rejected it permanently.
    Refused,
    /// The mail server rejected it for now.
    Temporary,
    /// The mail server took too long.
    Timeout,
    /// There is no secure connection to the mail server, or it rejected the credentials.
    Connection,
    /// It could not be unsealed or rendered.
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
    /// The kind of failure.
    pub cause: Cause,
    /// A description on one line; the mail server's reply, if there was one.
    pub detail: String,
}

/// Maximum length of a description, in characters.
const MAX_DETAIL: usize = 200;

impl Failure {
    /// A failure whose description is reduced to one line.
    #[must_use]
    pub fn new(cause: Cause, detail: &str) -> Self {
        let line = detail.chars().map(|c| if c.is_control() { ' ' } else { c });
        Self { cause, detail: line.take(MAX_DETAIL).collect() }
    }
}

/// How mails are sent.
#[derive(Debug)]
pub enum Mailer {
    /// To a mail server.
    Smtp(Box<Smtp>),
    /// Not at all: they are kept in memory.
    Kept(Arc<Kept>),
}

/// The templates, and the way to send mails.
#[derive(Debug)]
pub struct Post {
    /// The templates.
    pub templates: Templates,
    /// The way to send mails.
    pub mailer: Mailer,
}

impl Post {
    /// Renders and sends a mail. `Ok` means that the mail server is responsible for it from now on.
    ///
    /// # Errors
    /// Why it was not sent. After [`Cause::Timeout`] and [`Cause::Connection`] it may have been sent nevertheless.
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

    /// Closes connections that were kept open for further mails.
    pub async fn close_idle(&self) {
        if let Mailer::Smtp(smtp) = &self.mailer {
            smtp.close_idle().await;
        }
    }
}
