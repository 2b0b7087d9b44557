//! Account mails: rate limits and recipients.

use std::sync::Arc;

use super::limits::{GuessAudit, Limits};
use crate::{
    domain::{
        audit::Actor,
        client::Client,
        limit::LimitKind,
        login::{Login, LoginKind},
        mail::{Content, Language, LanguageError, Mail, Recipient},
    },
    error::{Error, Result},
    id::UserId,
    service::runtime::{Live, Outbox},
    store::Tx,
    time::Timestamp,
};

/// The recipient of a mail, and its language.
pub(in crate::service) struct Addressee {
    pub(in crate::service) recipient: Recipient,
    pub(in crate::service) language: Language,
}

/// Sends account mails. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::service) struct Emails {
    live: Arc<Live>,
    outbox: Outbox,
    limits: Limits,
}

/// Parses a recipient; `None` if the text is not an email address.
pub(in crate::service) fn parse_recipient(text: &str) -> Option<Recipient> {
    Login::parse(text).ok().as_ref().and_then(Recipient::of)
}

/// Parses a language; empty means English.
pub(super) fn parse_language(text: &str) -> Result<Language> {
    if text.is_empty() {
        return Ok(Language::default());
    }
    text.parse().map_err(|e: LanguageError| Error::invalid("language", e.to_string()))
}

impl Emails {
    pub(in crate::service) fn new(live: Arc<Live>, outbox: Outbox, limits: Limits) -> Self {
        Self { live, outbox, limits }
    }

    /// Counts a requested mail against the limits of its recipient and of the requesting address, whether or not it
    /// will be sent.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`].
    pub(super) async fn count_request(&self, client: &Client, typed: &str, address: &str) -> Result<()> {
        let mut keys = vec![self.limits.key_of_login(LimitKind::Mail, typed)];
        keys.extend(self.limits.keys_of_address(address));
        let actor = Actor { address: address.to_owned(), ..Actor::named(client.id.as_str()) };
        self.limits.check(&keys).await?.failed(GuessAudit { subject: String::new(), actor }).await
    }

    /// Queues a mail on behalf of a client.
    pub(in crate::service) async fn send(
        &self,
        tx: &mut Tx,
        client: &Client,
        to: Addressee,
        content: Content,
    ) -> Result<()> {
        let client = client.id.as_str().to_owned();
        let Addressee { recipient: to, language } = to;
        self.outbox.enqueue(tx, Mail { to, content, client, language }).await.map(|_| ())
    }

    /// Notifies every email address of a user that the password was set.
    pub(super) async fn send_password_changed(&self, tx: &mut Tx, logins: &[String], at: Timestamp) -> Result<()> {
        for to in logins.iter().filter_map(|l| parse_recipient(l)) {
            let content = Content::PasswordChanged { at };
            let (client, language) = (self.live.issuer().to_owned(), Language::default());
            self.outbox.enqueue(tx, Mail { to, content, client, language }).await?;
        }
        Ok(())
    }

    /// Replaces a user's email addresses with one, and notifies the old addresses and the new one.
    pub(super) async fn replace(
        &self,
        tx: &mut Tx,
        client: &Client,
        user: &UserId,
        old: &[String],
        new: &Login,
    ) -> Result<()> {
        tx.logins_delete(user, LoginKind::Email).await?;
        if let Some(taken) = tx.login_insert(user, new).await? {
            return Err(taken.into());
        }
        let Some(address) = parse_recipient(new.display()) else { return Ok(()) };
        let at = self.live.now();
        for recipient in old.iter().filter_map(|l| parse_recipient(l)).chain([address.clone()]) {
            let content = Content::EmailChanged { at, new: address.clone() };
            self.send(tx, client, Addressee { recipient, language: Language::default() }, content).await?;
        }
        Ok(())
    }
}
