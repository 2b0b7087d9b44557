//! The tokens for applications behind a proxy, each signed once for many requests.

use std::{collections::HashMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;
use chancery_guard::headers::{self, identity_headers};

use super::{
    base::{Base, BrowserSession},
    memory::Memory,
    readings::Readings,
};
use crate::{
    domain::{client::Client, role::Role, scope::Audience},
    error::{Error, OversizedToken, Result},
    id::{RoleId, SessionId},
    keys::Keyring,
    service::{
        runtime::{Live, Snapshot},
        tokens::{Minter, Subject, TokenParams, still_allowed},
    },
    time::{LogPace, Timestamp},
};

/// The memory for tokens, in bytes.
pub(super) const BYTES: usize = 64 * 1024 * 1024;
/// Maximum size of all headers that an application is sent, in bytes.
pub(super) const MAX_HEADERS: usize = 12 * 1024;
/// The field of an error about them.
pub const HEADERS: &str = "headers";
/// What a header takes besides its name and value: `: ` and the end of the line.
const PER_HEADER: usize = 4;

/// The headers in the documented order, or how much too large they would be.
type Headers = Result<Vec<(&'static str, Bytes)>, Box<OversizedToken>>;

/// Who is signed in, for an application.
pub struct Identity {
    /// The permissions at the token's audience.
    pub permissions: Vec<String>,
    /// Whom the token is for.
    pub audience: Audience,
    /// The token's scopes.
    pub scopes: Vec<String>,
    /// When the token expires.
    pub expires_at: Timestamp,
    token: Bytes,
    headers: Headers,
    use_until: Timestamp,
    origin: Origin,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// What a token was made from. Another origin makes another token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    /// Of keys and roles.
    state: u64,
    /// Of the client.
    revision: i64,
    /// Of the session's row and its user.
    content: [u8; 32],
}

/// Keys and roles as of the last token.
struct State {
    ring: Arc<Keyring>,
    roles: Arc<HashMap<RoleId, Role>>,
    number: u64,
}

type Key = (SessionId, Audience);

/// Makes tokens for sessions, and remembers the last one for each audience. Cheap to clone.
#[derive(Clone)]
pub(in crate::service) struct Identities(Arc<Inner>);

struct Inner {
    live: Arc<Live>,
    minter: Minter,
    state: ArcSwap<State>,
    memory: Memory<Key, Identity>,
    signing: Readings<Key, Arc<Identity>>,
    /// When it was last said that a client has no audience.
    without_audience: LogPace,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identities")
    }
}

impl Identities {
    pub(in crate::service) fn new(live: Arc<Live>, minter: Minter) -> Self {
        let snapshot = live.snapshot();
        let state = State { ring: snapshot.ring.clone(), roles: snapshot.roles.clone(), number: 0 };
        let (memory, signing) = (Memory::new(BYTES), Readings::default());
        let (state, without_audience) = (ArcSwap::from_pointee(state), LogPace::default());
        Self(Arc::new(Inner { live, minter, state, memory, signing, without_audience }))
    }

    /// The token for a session at an audience; empty for the session's default.
    ///
    /// # Errors
    /// The client may not ask for the audience; [`Error::Precondition`] if it has none; [`Error::TokenTooLarge`]; this
    /// process may not sign.
    pub(super) async fn of(&self, session: &BrowserSession, asked: &str, now: Timestamp) -> Result<Arc<Identity>> {
        let snapshot = self.0.live.for_signing()?;
        let client = snapshot.clients.get(session.client.as_str()).cloned();
        let client = client.ok_or_else(|| Error::NotFound("client", session.client.as_str().to_owned()))?;
        let audience = audience(&snapshot, &client, asked);
        if let Err(error @ Error::Precondition(_)) = &audience
            && self.0.without_audience.is_due(now.millis())
        {
            tracing::warn!("{error}");
        }
        let audience = audience?.clone();
        let (state, content) = (self.0.state_number(&snapshot), session.base().content);
        let origin = Origin { state, revision: client.revision, content };
        let key = (session.id.clone(), audience);
        if let Some(known) = self.0.memory.get(&key).filter(|known| known.origin == origin && now < known.use_until) {
            return Ok(known);
        }
        let (inner, base, audience) = (self.0.clone(), session.base().clone(), key.1.clone());
        self.0.signing.share(key, move || inner.make(snapshot, client, (base, audience), origin, now)).await
    }

    /// The bytes of what is remembered.
    pub(super) fn bytes(&self) -> usize {
        self.0.memory.bytes()
    }
}

impl Inner {
    /// The number of the present keys and roles.
    fn state_number(&self, snapshot: &Snapshot) -> u64 {
        let is_current =
            |known: &State| Arc::ptr_eq(&known.ring, &snapshot.ring) && Arc::ptr_eq(&known.roles, &snapshot.roles);
        let known = self.state.load();
        if is_current(&known) {
            return known.number;
        }
        drop(known);
        let next = |known: &Arc<State>| {
            if is_current(known) {
                return known.clone();
            }
            let (ring, roles) = (snapshot.ring.clone(), snapshot.roles.clone());
            Arc::new(State { ring, roles, number: known.number + 1 })
        };
        self.state.rcu(next);
        self.state.load().number
    }

    /// Signs a token, and remembers it.
    async fn make(
        self: Arc<Self>,
        snapshot: Arc<Snapshot>,
        client: Arc<Client>,
        (base, audience): (Arc<Base>, Audience),
        origin: Origin,
        now: Timestamp,
    ) -> Result<Arc<Identity>> {
        let scopes = still_allowed(&client, &base.session.scopes).into_owned();
        let basis = base.session.clone().into();
        let params = TokenParams { audience: &audience, scopes: &scopes, now };
        let issued = self.minter.access_token(&snapshot, &client, Subject::Session(&basis), params).await?;
        let has = snapshot.session_entitlements(&base.session.roles, &base.session.acr, audience.as_str());
        let token = Bytes::from(issued.token.expose().to_owned());
        let identity = headers::Identity {
            subject: &base.session.subject,
            client_id: client.id.as_str(),
            session_id: base.session.id.as_str(),
            scopes: &issued.scopes,
            permissions: &has.permissions,
            roles: &has.roles,
            token: issued.token.expose(),
        };
        let half = issued.expires_at.since(now).millis() / 2;
        let identity = Arc::new(Identity {
            headers: all_headers(&identity, &base, &token),
            permissions: has.permissions,
            audience: audience.clone(),
            scopes: issued.scopes,
            expires_at: issued.expires_at,
            token,
            use_until: now.plus(crate::time::Ttl::from_millis(half)),
            origin,
        });
        self.memory.put((base.session.id.clone(), audience), identity.clone(), identity.bytes());
        Ok(identity)
    }
}

impl Identity {
    /// The access token.
    #[must_use]
    pub fn token(&self) -> &str {
        // It was a text when it was signed.
        std::str::from_utf8(&self.token).unwrap_or_default()
    }

    /// The headers for an application behind a proxy, in the documented order.
    ///
    /// # Errors
    /// [`Error::TokenTooLarge`] if they are larger than proxies take. The token alone may still be good.
    pub fn headers(&self) -> Result<&[(&'static str, Bytes)]> {
        let too_large =
            |token: &OversizedToken| Error::TokenTooLarge { field: HEADERS, token: Box::new(token.clone()) };
        self.headers.as_ref().map(Vec::as_slice).map_err(|token| too_large(token))
    }

    fn bytes(&self) -> usize {
        // The token stands in its header, and shares those bytes.
        let headers = self.headers.iter().flatten().map(|(_, value)| value.len() + size_of::<(&str, Bytes)>());
        let texts = self.permissions.iter().chain(&self.scopes).map(|text| text.len() + size_of::<String>());
        let fixed = size_of::<Self>() + size_of::<Key>() + 64 + self.audience.as_str().len();
        fixed + self.token.len() + headers.sum::<usize>() + texts.sum::<usize>()
    }
}

/// The headers without an identity: every one, each empty.
#[must_use]
pub fn empty_headers() -> Vec<(&'static str, Bytes)> {
    let empty = identity_headers(None).into_iter().map(|(name, _)| (name, Bytes::new()));
    empty.chain(["x-chancery-name", "x-chancery-email", "x-chancery-token"].map(|name| (name, Bytes::new()))).collect()
}

/// The headers of an identity. Where they would be too large together, the claims are left empty: they stand in the
/// token too.
fn all_headers(identity: &headers::Identity<'_>, base: &Base, token: &Bytes) -> Headers {
    let all = identity_headers(Some(identity)).into_iter();
    let mut all: Vec<_> = all.map(|(name, value)| (name, Bytes::from(value))).collect();
    all.push(("x-chancery-name", headers::percent_encoded(base.person.name()).into()));
    all.push(("x-chancery-email", headers::percent_encoded(base.person.email()).into()));
    all.push(("x-chancery-token", token.clone()));
    let size = |all: &[(&str, Bytes)]| all.iter().map(|(n, v)| n.len() + v.len() + PER_HEADER).sum::<usize>();
    if size(&all) > ROOM
        && let Some((_, claims)) = all.iter_mut().find(|(name, _)| *name == "x-chancery-claims")
    {
        *claims = Bytes::new();
    }
    if size(&all) > ROOM {
        let (client, audience, limit) = (identity.client_id.to_owned(), String::new(), MAX_HEADERS);
        return Err(Box::new(OversizedToken { client, audience, bytes: size(&all), limit }));
    }
    Ok(all)
}

/// What is left for the identity: the visitor's id and the headers of every answer stand beside it.
const ROOM: usize = MAX_HEADERS - 512;

/// The audience of the token: the one that was asked for, or the first. A browser's session has every audience that its
/// client has at the time: nobody asked for some of them, and a session that kept those of its sign-in would be of no use
/// to an application whose audience has changed. Never this server itself: an application could act at it in the user's
/// name.
fn audience<'a>(snapshot: &Snapshot, client: &'a Client, asked: &str) -> Result<&'a Audience> {
    let mut allowed = client.config.application_audiences(&snapshot.issuer);
    if asked.is_empty() {
        let id = &client.id;
        let remedy = || {
            let text = format!(
                "the client {id} has no audience but the issuer, so there is no token for its application; \
                 give it one among its audiences"
            );
            Error::Precondition(text)
        };
        return allowed.next().ok_or_else(remedy);
    }
    allowed
        .find(|audience| audience.as_str() == asked)
        .ok_or_else(|| Error::invalid("audience", "must be one that the site's client may ask for, and not the issuer"))
}
