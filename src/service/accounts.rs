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
use super::{RequestContext, Service, limits::Guesser, sign_in::FLOOR};
use crate::{
    domain::{
        audit::Actor,
        client::{Client, Grant},
        limit::LimitKind,
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
    text.parse().map_err(|e: crate::domain::mail::LanguageError| Error::invalid("language", e.to_string()))
}

impl Service {
    /// Counts a mail that somebody asks for, by where it goes and by where it is asked for; whether it will be
    /// sent does not matter.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`].
    pub(super) async fn count_mail(&self, client: &Client, typed: &str, address: &str) -> Result<()> {
        let mut keys = vec![self.limits.key_of_login(LimitKind::Mail, typed)];
        keys.extend(self.limits.keys_of_address(address));
        let actor = Actor { address: address.to_owned(), ..Actor::named(client.id.as_str()) };
        self.limits.check(&keys).await?.failed(Guesser { subject: String::new(), actor }).await
    }

    /// Where somebody is who asks through a client.
    pub(super) fn address_of<'a>(ctx: &'a RequestContext, client: &Client, told: &'a str) -> &'a str {
        if client.may_report_end_user() && !told.is_empty() { told } else { &ctx.peer }
    }

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
