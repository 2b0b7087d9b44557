//! What people do with their own accounts: open them, prove an address, choose a new password, see and end
//! their sessions, leave.
//!
//! Whether an account exists is told to nobody who does not own it: whoever asks with an address or a name
//! gets the same answer after the same work, and the mail alone differs.

mod me;
mod register;
mod reset;

use tokio::time::Instant;

pub(super) use self::reset::check_password;
pub use self::{
    me::{Me, MePatch},
    register::RegisterInput,
};
use super::{Service, sign_in::FLOOR};
use crate::{
    domain::{
        client::{Client, Grant},
        login::Login,
        mail::{Content, Language, Mail, Recipient},
    },
    error::{Error, Reason, Result},
    store::Tx,
    time::Timestamp,
};

/// Where the mail of an account that does not exist goes: nowhere, since it has ended when it is written.
const NOBODY: &str = "nobody@chancery.invalid";

/// Whether a client may handle passwords.
pub(super) fn may_handle_passwords(client: &Client) -> Result<()> {
    if client.may(Grant::DirectLogin) && client.config.first_party {
        return Ok(());
    }
    let text = "the client lacks the grant direct_login or is not first-party";
    Err(Error::Denied(Reason::ClientNotAllowed, text.to_owned()))
}

/// Answers no earlier than the floor, so that the time tells nothing.
pub(super) async fn no_earlier(arrived: Instant) {
    tokio::time::sleep_until(arrived + FLOOR).await;
}

/// The address of a mail, if the text is one.
fn recipient(text: &str) -> Option<Recipient> {
    Login::parse(text).ok().as_ref().and_then(Recipient::of)
}

/// A language, or English.
fn language(text: &str) -> Result<Language> {
    if text.is_empty() {
        return Ok(Language::default());
    }
    text.parse().map_err(|e: crate::domain::mail::NoLanguage| Error::invalid("language", e.to_string()))
}

impl Service {
    /// Hands a mail in, from a client to one address.
    async fn mail_to(
        &self,
        tx: &mut Tx,
        client: &Client,
        (to, language): (Recipient, Language),
        content: Content,
    ) -> Result<()> {
        let client = client.id.as_str().to_owned();
        self.mail(tx, Mail { to, content, client, language }).await.map(|_| ())
    }

    /// Tells every address of a user that its password was set.
    pub(super) async fn mail_password_changed(&self, tx: &mut Tx, logins: &[String], at: Timestamp) -> Result<()> {
        for to in logins.iter().filter_map(|l| recipient(l)) {
            let content = Content::PasswordChanged { at };
            let (client, language) = (self.issuer().to_owned(), Language::default());
            self.mail(tx, Mail { to, content, client, language }).await?;
        }
        Ok(())
    }
}
