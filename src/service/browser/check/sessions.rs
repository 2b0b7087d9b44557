//! The sessions of browsers, in memory as far as they are in use.

use std::{fmt, sync::Arc};

use super::{
    base::{Base, BrowserSession, Person},
    memory::Memory,
    readings::Readings,
};
use crate::{
    domain::{session::Session, site::Site},
    error::{Error, Result},
    id::SessionId,
    keys::{
        SealingKeys,
        session_cookie::{self, ReadCookie},
    },
    secret::SessionSecret,
    service::runtime::{Live, Runtime, Snapshot},
    store::Store,
    time::{Clock, Timestamp, Ttl},
};

/// The memory for sessions, in bytes.
pub(super) const BYTES: usize = 32 * 1024 * 1024;
/// After this long a session is read again: roles, claims and names reach rows only.
pub(super) const READ_AGAIN_AFTER: Ttl = Ttl::from_secs(30);

/// What the memory holds for a session.
#[derive(Clone)]
enum Known {
    Live(Arc<Base>),
    /// There is no such session of a browser, or it has ended. Sessions do not come back.
    Gone {
        /// When it was read.
        read_at: Ttl,
    },
}

impl Known {
    fn read_at(&self) -> Ttl {
        match self {
            Self::Live(base) => base.read_at,
            Self::Gone { read_at } => *read_at,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Live(base) => base.bytes(),
            Self::Gone { .. } => 0,
        }
    }
}

/// Finds the sessions that cookies stand for. Cheap to clone.
#[derive(Clone)]
pub(in crate::service) struct BrowserSessions(Arc<Inner>);

struct Inner {
    store: Store,
    live: Arc<Live>,
    sealing: Arc<SealingKeys>,
    clock: Arc<dyn Clock>,
    memory: Memory<SessionId, Known>,
    readings: Readings<SessionId, Known>,
}

impl fmt::Debug for BrowserSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrowserSessions")
    }
}

impl BrowserSessions {
    pub(in crate::service) fn new(runtime: Runtime, clock: Arc<dyn Clock>) -> Self {
        let Runtime { store, live, sealing, .. } = runtime;
        let (memory, readings) = (Memory::new(BYTES), Readings::default());
        Self(Arc::new(Inner { store, live, sealing, clock, memory, readings }))
    }

    /// The live session that a cookie stands for at this site. Anything else is no session: a cookie that this server
    /// did not make, one of another site, of another kind, or of a session that has ended.
    ///
    /// # Errors
    /// [`crate::error::Error::Unavailable`] if the database cannot be read, or this process may have missed that the
    /// session was ended.
    pub(super) async fn live_session(
        &self,
        cookie: &str,
        site: &Site,
        now: Timestamp,
    ) -> Result<Option<BrowserSession>> {
        let Some(read) = session_cookie::parse(&self.0.sealing, cookie) else {
            if !self.0.sealing.hold_version_in_use() {
                return Err(Error::Unavailable("this process lacks the sealing key in use".into()));
            }
            return Ok(None);
        };
        let ReadCookie { session: id, secret, kept } = read;
        // The revocations last, so that none is missed that came while the row was read.
        let found = self.find(&id, &secret, site, now).await?;
        let snapshot = self.0.live.for_signing()?;
        let found = found.filter(|base| is_admitted(&snapshot, &base.session));
        Ok(found.map(|base| BrowserSession::new(base, kept)))
    }

    async fn find(
        &self,
        id: &SessionId,
        secret: &SessionSecret,
        site: &Site,
        now: Timestamp,
    ) -> Result<Option<Arc<Base>>> {
        if self.0.live.for_signing()?.revoked_sessions.contains_key(id.as_str()) {
            return Ok(None);
        }
        let remembered = self.remembered(id);
        let just_read = remembered.is_none();
        let mut known = match remembered {
            Some(known) => known,
            None => self.read(id).await?,
        };
        // Its use may have been noted by another process since.
        if !just_read && matches!(&known, Known::Live(base) if now >= base.session.expires_at()) {
            known = self.read(id).await?;
        }
        let Known::Live(base) = known else { return Ok(None) };
        let is_live = base.is_for(site) && base.accepts(secret) && now < base.session.expires_at();
        Ok(is_live.then_some(base))
    }

    /// What is remembered of a session, unless it must be read again.
    fn remembered(&self, id: &SessionId) -> Option<Known> {
        let known = self.0.memory.get(id)?;
        let age = self.0.clock.elapsed().millis() - known.read_at().millis();
        (age < READ_AGAIN_AFTER.millis()).then(|| (*known).clone())
    }

    async fn read(&self, id: &SessionId) -> Result<Known> {
        let (inner, key) = (self.0.clone(), id.clone());
        self.0.readings.share(id.clone(), move || inner.read(key)).await
    }

    /// The bytes of what is remembered.
    pub(super) fn bytes(&self) -> usize {
        self.0.memory.bytes()
    }
}

impl Inner {
    /// Reads a session and how its user is called, and remembers it.
    async fn read(self: Arc<Self>, id: SessionId) -> Result<Known> {
        let read_at = self.clock.elapsed();
        let mut tx = self.store.read().await?;
        let session = tx.session_by_id(&id).await?;
        let session = session.filter(|s| s.revoked.is_none() && self.live.now() < s.expires_at());
        let user = match session.as_ref().and_then(|s| s.user.as_ref()) {
            Some(user) => tx.user_by_id(user).await?,
            None => None,
        };
        let known = match session {
            None => Known::Gone { read_at },
            Some(session) if session.is_guest() => {
                Known::Live(Arc::new(Base::new(session, Person::default(), read_at)))
            }
            Some(session) => match user {
                Some(user) if user.disabled_at.is_none() => {
                    let person = Person::of(&user, &tx.logins_of(&user.id).await?);
                    Known::Live(Arc::new(Base::new(session, person, read_at)))
                }
                _ => Known::Gone { read_at },
            },
        };
        let bytes = known.bytes();
        self.memory.put(id, Arc::new(known.clone()), bytes);
        Ok(known)
    }
}

/// Whether nothing that this process knows has ended the session: its own end, or that of its client, or of the site.
fn is_admitted(snapshot: &Snapshot, session: &Session) -> bool {
    let client = snapshot.clients.get(session.client.as_str()).filter(|client| client.disabled_at.is_none());
    let site = client.and_then(|client| client.config.site.as_ref()).map(Site::origin);
    !snapshot.revoked_sessions.contains_key(session.id.as_str()) && site.is_some() && site == session.site.as_deref()
}
