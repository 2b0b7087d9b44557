//! Account mails: rate limits and recipients.

use std::sync::Arc;

use super::limits::{Attempt, Limits};
use crate::{
    domain::{
        client::Client,
        limit::{LimitKey, LimitKind},
        login::{Login, LoginKind},
        mail::{Asked, Content, Language, LanguageError, Mail, Recipient},
        user::User,
    },
    error::{Error, Result},
    id::UserId,
    passwords::{Level, Prefix},
    service::{
        access::RequestContext,
        runtime::{Live, Outbox},
    },
    store::Tx,
    time::Timestamp,
};

/// The recipient of a mail, its language, and who asked for it.
pub(in crate::service) struct Addressee {
    pub(in crate::service) recipient: Recipient,
    pub(in crate::service) language: Language,
    pub(in crate::service) asked: Asked,
}

/// Who asks for a mail. Each asker has limits of their own, so that nobody can use up those of others.
pub(super) enum Asker<'a> {
    /// Anybody: they are told apart by their networks.
    Unknown,
    /// A device on which the owner of the account has signed in, by the key of its count.
    KnownDevice(&'a LimitKey),
    /// A user who has signed in.
    User(&'a UserId),
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

/// Parses a language; empty means none.
pub(super) fn parse_language(text: &str) -> Result<Option<Language>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|e: LanguageError| Error::invalid("language", e.to_string()))
}

/// The languages that a mail may be in: the one that was asked for, else its reader's own, else that of the page on
/// which it was asked for, else English.
#[derive(Clone, Debug, Default)]
pub(super) struct MailLanguage {
    asked: Option<Language>,
    page: Option<Language>,
}

/// A mail that was asked for: to whom, in which languages it may be, and by whom.
pub(super) type AskedMail = (Recipient, MailLanguage, Asked);

impl MailLanguage {
    /// What a request asks for, in its own words or by its page.
    pub(super) fn of(ctx: &RequestContext, asked: Option<Language>) -> Self {
        Self { asked, page: ctx.language.clone() }
    }

    /// The one of a mail to the user whose own language this is.
    pub(super) fn for_reader(&self, own: Option<&Language>) -> Language {
        self.asked.as_ref().or(own).or(self.page.as_ref()).cloned().unwrap_or_default()
    }

    /// The one of a mail to somebody who has not asked for it: their own goes first.
    pub(super) fn for_owner(&self, own: Option<&Language>) -> Language {
        own.or(self.asked.as_ref()).or(self.page.as_ref()).cloned().unwrap_or_default()
    }

    /// The one that a new user is written to in from now on.
    pub(super) fn of_new_user(&self) -> Option<Language> {
        self.asked.as_ref().or(self.page.as_ref()).cloned()
    }
}

impl Emails {
    pub(in crate::service) fn new(live: Arc<Live>, outbox: Outbox, limits: Limits) -> Self {
        Self { live, outbox, limits }
    }

    /// Counts a requested mail before it is queued, whether or not there is such a recipient. A request that is
    /// refused queues nothing; one that is not refused is always mailed.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`].
    pub(super) async fn count_request(&self, typed: &str, asker: Asker<'_>, address: &str) -> Result<Attempt> {
        // No login contains the separator, so that nobody can type the name of another count.
        let canonical = Login::canonical_for_lookup(typed).unwrap_or_else(|| typed.to_owned());
        let keys = match asker {
            Asker::Unknown => {
                let from = |level| Prefix::of(address).name(level);
                let key = |kind, place: &str| self.limits.key(kind, &format!("{canonical}\0{place}"));
                let own = key(LimitKind::Mail, &from(Level::Network).unwrap_or_default());
                let wider = [(LimitKind::MailSite, Level::Site), (LimitKind::MailProvider, Level::Provider)];
                let wider = wider.into_iter().filter_map(|(kind, level)| Some(key(kind, &from(level)?)));
                let mut keys = vec![own, self.limits.key(LimitKind::Inbox, &canonical)];
                keys.extend(wider.chain(self.limits.keys_of_address(address)));
                keys
            }
            Asker::KnownDevice(device) => vec![self.limits.key_for(LimitKind::Mail, device)],
            // The last of the asker's own counts is for this recipient.
            Asker::User(user) => vec![
                self.limits.key(LimitKind::Mail, &format!("\0{user}")),
                self.limits.key(LimitKind::Mail, &format!("{canonical}\0{user}")),
                self.limits.key(LimitKind::Inbox, &format!("{canonical}\0users")),
            ],
        };
        self.limits.check(&keys).await
    }

    /// Queues a mail on behalf of a client.
    pub(in crate::service) async fn send(
        &self,
        tx: &mut Tx,
        client: &Client,
        to: Addressee,
        content: Content,
    ) -> Result<()> {
        self.send_from(tx, client.display_name(), to, content).await
    }

    /// Queues a mail on behalf of a service of this name.
    pub(in crate::service) async fn send_from(
        &self,
        tx: &mut Tx,
        service: &str,
        to: Addressee,
        content: Content,
    ) -> Result<()> {
        let client = service.to_owned();
        let Addressee { recipient: to, language, asked } = to;
        self.outbox.enqueue(tx, Mail { to, content, client, language, asked }).await.map(|_| ())
    }

    /// Notifies every email address of a user that the password was set.
    pub(super) async fn send_password_changed(
        &self,
        tx: &mut Tx,
        client: &Client,
        (logins, language): (&[String], Option<&Language>),
        at: Timestamp,
    ) -> Result<()> {
        for recipient in logins.iter().filter_map(|l| parse_recipient(l)) {
            let language = language.cloned().unwrap_or_default();
            let to = Addressee { recipient, language, asked: Asked::default() };
            self.send(tx, client, to, Content::PasswordChanged { at }).await?;
        }
        Ok(())
    }

    /// Replaces a user's email addresses with one, and notifies the old addresses and the new one.
    pub(super) async fn replace(
        &self,
        tx: &mut Tx,
        client: &Client,
        (user, old): (&User, &[String]),
        new: &Login,
    ) -> Result<()> {
        tx.logins_delete(&user.id, LoginKind::Email).await?;
        if let Some(taken) = tx.login_insert(&user.id, new).await? {
            return Err(taken.into());
        }
        let Some(address) = parse_recipient(new.display()) else { return Ok(()) };
        let at = self.live.now();
        for recipient in old.iter().filter_map(|l| parse_recipient(l)).chain([address.clone()]) {
            let content = Content::EmailChanged { at, new: address.clone() };
            let language = user.language.clone().unwrap_or_default();
            let to = Addressee { recipient, language, asked: Asked::default() };
            self.send(tx, client, to, content).await?;
        }
        Ok(())
    }
}
