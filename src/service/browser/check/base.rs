//! A browser's session as it is remembered between two reads of its row.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use serde_json::{Map, Value};

use crate::{
    domain::{
        mail::Language,
        session::{Session, SessionKind, SessionTouch, touch_interval},
        site::Site,
        user::User,
    },
    id::UserId,
    secret::{SessionSecret, sha256},
    time::{Timestamp, Ttl},
};

/// The attribute that names a person (`OpenID` Connect Core §5.1).
const NAME: &str = "name";

/// Maximum length of a name, in characters. People choose it, and it travels in a header.
const MAX_NAME: usize = 256;

/// Nothing was written since the row was read.
const NEVER: i64 = i64::MIN;

/// A live session of a browser, and whose it is. It dereferences to the session's row, which may be half a minute old;
/// that it has not been revoked is never older than the change feed.
#[derive(Clone)]
pub struct BrowserSession {
    base: Arc<Base>,
    kept: bool,
}

/// What one read of the database said.
pub(super) struct Base {
    pub(super) session: Session,
    pub(super) person: Person,
    /// When it was read, by the clock that nobody sets.
    pub(super) read_at: Ttl,
    /// The hash of all that reaches tokens and headers.
    pub(super) content: [u8; 32],
    /// When this process last wrote that the session is in use, in milliseconds since the Unix epoch, or [`NEVER`].
    noted_at: AtomicI64,
}

/// How a person is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Person {
    name: String,
    email: String,
    language: Option<Language>,
}

impl Person {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn email(&self) -> &str {
        &self.email
    }

    /// A name for people: the attribute `name`, else the user name, else the address.
    pub(super) fn of(user: &User, logins: &[String]) -> Self {
        let email = logins.iter().find(|login| login.contains('@')).cloned().unwrap_or_default();
        let named = user.attributes.get(NAME).and_then(Value::as_str).map(str::trim).filter(|name| !name.is_empty());
        let name = named.or_else(|| logins.first().map(String::as_str)).unwrap_or_default();
        Self { name: name.chars().take(MAX_NAME).collect(), email, language: user.language.clone() }
    }
}

impl Base {
    pub(super) fn new(session: Session, person: Person, read_at: Ttl) -> Self {
        let content = content(&session, &person);
        Self { session, person, read_at, content, noted_at: AtomicI64::new(NEVER) }
    }

    /// What to write for a use of the session at `now`, if anything. It counts as written from now on; if it is not,
    /// the next read of the row shows that.
    pub(super) fn note(&self, now: Timestamp) -> Option<SessionTouch> {
        let touch = self.session.touch_due(now)?;
        let noted = self.noted_at.load(Ordering::Relaxed);
        let again = noted.saturating_add(touch_interval(self.session.idle_ttl).millis());
        let is_due = noted == NEVER || now.millis() >= again;
        let is_first =
            || self.noted_at.compare_exchange(noted, now.millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok();
        (is_due && is_first()).then_some(touch)
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let session = &self.session;
        let texts = [
            session.id.as_str(),
            session.user.as_ref().map(UserId::as_str).unwrap_or_default(),
            &session.subject,
            session.client.as_str(),
            session.rotation_request_id.as_deref().unwrap_or_default(),
            &session.acr,
            &session.device_label,
            &session.user_agent,
            &session.address,
            session.site.as_deref().unwrap_or_default(),
            &self.person.name,
            &self.person.email,
            self.person.language.as_ref().map(Language::as_str).unwrap_or_default(),
        ];
        let lists = [
            list(session.amr.iter().map(String::len)),
            list(session.scopes.iter().map(|s| s.as_str().len())),
            list(session.audiences.iter().map(|a| a.as_str().len())),
            list(session.roles.iter().map(|r| r.as_str().len())),
        ];
        size_of::<Self>() + list(texts.map(str::len)) + lists.iter().sum::<usize>() + object(&session.claims)
    }

    /// Whether it is the session of a browser at this site.
    pub(super) fn is_for(&self, site: &Site) -> bool {
        self.session.kind == SessionKind::Browser && self.session.site.as_deref() == Some(site.origin())
    }

    pub(super) fn accepts(&self, secret: &SessionSecret) -> bool {
        self.session.secret.matches(&secret.hash())
    }
}

/// The hash of all that reaches tokens and headers.
fn content(session: &Session, person: &Person) -> [u8; 32] {
    let Session { subject, auth_time, amr, acr, scopes, audiences, claims, roles, absolute_expires_at, .. } = session;
    let session = (subject, auth_time, amr, acr, scopes, audiences, claims, roles, absolute_expires_at);
    // Writing these as JSON cannot fail.
    sha256(&serde_json::to_vec(&(session, &person.name, &person.email)).unwrap_or_default())
}

/// The bytes of texts of these lengths, each allocated on its own.
fn list(lengths: impl IntoIterator<Item = usize>) -> usize {
    lengths.into_iter().map(|length| length + size_of::<String>()).sum()
}

/// The bytes of a JSON object.
fn object(members: &Map<String, Value>) -> usize {
    // A node of the tree holds up to eleven members.
    let member = size_of::<String>() + size_of::<Value>();
    members.iter().map(|(name, value)| member * 2 + name.len() + json(value)).sum()
}

fn json(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| size_of::<Value>() + json(item)).sum(),
        Value::Object(members) => object(members),
        _ => 0,
    }
}

impl BrowserSession {
    pub(super) fn new(base: Arc<Base>, kept: bool) -> Self {
        Self { base, kept }
    }

    pub(super) fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// Whether the cookie ends with the browser: its user has said that others use the computer too.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        !self.kept
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.base.session
    }

    /// Whether it is a guest's: nobody is signed in.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.session().is_guest()
    }

    /// The name of the person: their attribute `name`, else their user name, else their address.
    #[must_use]
    pub fn name(&self) -> &str {
        self.base.person.name()
    }

    /// The language of the person, if it is known.
    #[must_use]
    pub fn language(&self) -> Option<&Language> {
        self.base.person.language.as_ref()
    }

    /// The person's first verified email address; empty if there is none.
    #[must_use]
    pub fn email(&self) -> &str {
        self.base.person.email()
    }

    /// When it expires unless it is used again. For people: by then nobody promised them more.
    #[must_use]
    pub fn idle_expires_at(&self) -> Timestamp {
        let session = self.session();
        session.idle_expires_at.minus(touch_interval(session.idle_ttl)).min(session.absolute_expires_at)
    }
}

impl Deref for BrowserSession {
    type Target = Session;
    fn deref(&self) -> &Session {
        self.session()
    }
}

impl fmt::Debug for BrowserSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrowserSession({})", self.base.session.id)
    }
}
