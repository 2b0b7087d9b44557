//! Sites: the origins at which applications show the sign-in pages.
//!
//! A site is an origin and a prefix, such as `https://shop.example/auth`. The pages stand below the prefix, under the
//! application's own origin, so that their cookies are the application's own. Everything that is sent to a browser,
//! links and redirects included, is made from the declared site, never from what a request says.

mod host;
mod origin;

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use self::host::{HostFault, host};
pub use self::{
    host::is_loopback_host,
    origin::{WebOrigin, WebOriginError},
};

/// The longest URL of a site, in bytes.
const MAX_URL: usize = 512;
/// The longest home, in bytes.
const MAX_HOME: usize = 2048;
/// Where paths of this server's own begin, whatever the site.
const RESERVED: [&str; 5] = [".well-known", "statuslists", "oauth2", "dev", "assets"];

/// Why a text is not a site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// It is too long.
    #[error("must be at most {MAX_URL} bytes")]
    TooLong,
    /// It has no scheme, or another one.
    #[error("must be a URL such as https://shop.example/auth")]
    Scheme,
    /// It names a user.
    #[error("must not contain a user or password")]
    User,
    /// It has a query or a fragment.
    #[error("must not contain a query or a fragment")]
    Query,
    /// The host is not one.
    #[error(transparent)]
    Host(#[from] HostFault),
    /// The port is not one.
    #[error("must have a port of 1 to 65535, without leading zeros, or none")]
    Port,
    /// It has no TLS, beyond loopback.
    #[error("must begin with https:// (http:// is for localhost and loopback addresses only)")]
    Plaintext,
    /// It has no path.
    #[error("must have a path, below which the pages stand, such as /auth")]
    NoPrefix,
    /// The path is not one that everybody reads the same way.
    #[error("must have a path of plain segments: letters, digits and . _ ~ - alone, as in /auth")]
    Prefix,
    /// The path is needed for something else.
    #[error("must not have a path that begins with /{0}, which is in use")]
    Reserved(&'static str),
    /// The home is not a path at the site.
    #[error(
        "must be a path of visible ASCII characters such as /welcome, with one slash at its beginning, without \
         backslashes, . or .. segments, and of at most {MAX_HOME} bytes"
    )]
    Home,
    /// The home is one of the sign-in pages.
    #[error("must not be below the prefix of the site, {0}")]
    HomeBelowPrefix(String),
}

/// An origin, and the path below which the pages stand. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Site(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    secure: bool,
    host: String,
    port: u16,
    origin: String,
    prefix: String,
    home: String,
}

/// A site in the database.
#[derive(Serialize, Deserialize)]
struct Stored {
    url: String,
    #[serde(default = "root", skip_serializing_if = "is_root")]
    home: String,
}

fn root() -> String {
    "/".to_owned()
}

fn is_root(home: &str) -> bool {
    home == "/"
}

impl TryFrom<Stored> for Site {
    type Error = SiteError;
    fn try_from(stored: Stored) -> Result<Self, SiteError> {
        stored.url.parse::<Self>()?.with_home(&stored.home)
    }
}

impl From<Site> for Stored {
    fn from(site: Site) -> Self {
        Self { url: site.to_string(), home: site.home().to_owned() }
    }
}

impl FromStr for Site {
    type Err = SiteError;

    /// Reads `https://HOST[:PORT]/PREFIX`. The home is `/`.
    fn from_str(text: &str) -> Result<Self, SiteError> {
        if text.len() > MAX_URL {
            return Err(SiteError::TooLong);
        }
        let (secure, authority, path) = split_url(text).ok_or(SiteError::Scheme)?;
        if authority.contains('@') {
            return Err(SiteError::User);
        }
        if path.contains(['?', '#']) {
            return Err(SiteError::Query);
        }
        let (name, port) = split_port(authority);
        let host = host(name)?;
        let default_port = default_port(secure);
        let port = port.map_or(Ok(default_port), |text| parse_port(text).ok_or(SiteError::Port))?;
        if !secure && !is_loopback_host(&host) {
            return Err(SiteError::Plaintext);
        }
        let prefix = prefix(path)?.to_owned();
        let scheme = if secure { "https" } else { "http" };
        let shown_port = if port == default_port { String::new() } else { format!(":{port}") };
        let origin = format!("{scheme}://{host}{shown_port}");
        Ok(Self(Arc::new(Parts { secure, host, port, origin, prefix, home: root() })))
    }
}

impl Site {
    /// The same site with another home: where people go when they have signed in without having asked for a page.
    ///
    /// # Errors
    /// It is not a path at this site, or it is one of the sign-in pages.
    pub fn with_home(&self, home: &str) -> Result<Self, SiteError> {
        if !is_plain_path(home) {
            return Err(SiteError::Home);
        }
        if self.owns(path_of(home)) {
            return Err(SiteError::HomeBelowPrefix(self.prefix().to_owned()));
        }
        let Parts { secure, host, port, origin, prefix, home: _ } = &*self.0;
        let (host, origin, prefix) = (host.clone(), origin.clone(), prefix.clone());
        Ok(Self(Arc::new(Parts { secure: *secure, host, port: *port, origin, prefix, home: home.to_owned() })))
    }

    /// The same pages at another origin, such as `https://id.example.com`.
    ///
    /// # Errors
    /// It is no origin that can have a site.
    pub fn moved_to(&self, origin: &str) -> Result<Self, SiteError> {
        Self::at(origin, self.prefix())?.with_home(self.home())
    }

    /// The site with this prefix at the origin of a URL, whose own path is dropped.
    ///
    /// # Errors
    /// It is no origin that can have a site.
    pub fn at(url: &str, prefix: &str) -> Result<Self, SiteError> {
        let start = url.find("://").map_or(0, |at| at + 3);
        let end = url.get(start..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| start + at);
        format!("{}{prefix}", url.get(..end).unwrap_or_default()).parse()
    }

    /// The origin as browsers write it: `https://shop.example`, `http://localhost:8000`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// The host and, unless it is the scheme's own, the port: what browsers send as `Host`.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.origin().split_once("://").map_or("", |(_, authority)| authority)
    }

    /// The host alone: a name in lower case, or an address. An IPv6 address has its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The path below which the pages stand, without a slash at its end: `/auth`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// Where people go who asked for no page: a path, with what follows it.
    #[must_use]
    pub fn home(&self) -> &str {
        &self.0.home
    }

    /// Whether it has TLS. Only a site on loopback has none.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.secure
    }

    /// Whether its host is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(&self.0.host)
    }

    /// What no two clients share. Cookies know no ports, so there is one site for each host; on loopback, where the names
    /// of cookies end in the port, one for each host and port.
    #[must_use]
    pub fn key(&self) -> String {
        if self.is_secure() { self.0.host.clone() } else { format!("{}:{}", self.0.host, self.0.port) }
    }

    /// The path of a page: `login?r=…` or `/login?r=…` is at `/auth/login?r=…`. Nothing is at the prefix itself.
    #[must_use]
    pub fn path(&self, below_prefix: &str) -> String {
        join(self.prefix(), below_prefix)
    }

    /// The whole URL of a page.
    #[must_use]
    pub fn url(&self, below_prefix: &str) -> String {
        join(&self.to_string(), below_prefix)
    }

    /// The whole URL of the home.
    #[must_use]
    pub fn home_url(&self) -> String {
        format!("{}{}", self.origin(), self.home())
    }

    /// Whether a path is the prefix or below it.
    #[must_use]
    pub fn owns(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The URL, without the home.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.prefix())
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({self}, home {})", self.home())
    }
}

/// The origin that a request was sent to, written as [`Site::origin`] writes it: the host in lower case, and no port that
/// is the scheme's own. Nothing if it is none.
#[must_use]
pub fn origin_of(scheme: &str, authority: &str) -> Option<String> {
    let secure = match scheme {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    if authority.is_empty() || authority.len() > MAX_URL || !authority.bytes().all(is_of_authority) {
        return None;
    }
    let (host, port) = split_port(authority);
    let shown = match port {
        None => String::new(),
        Some(port) => match parse_port(port)? {
            port if port == default_port(secure) => String::new(),
            port => format!(":{port}"),
        },
    };
    Some(format!("{scheme}://{}{shown}", host.to_ascii_lowercase()))
}

const fn is_of_authority(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']')
}

const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// Whether an http URL has TLS, its authority, and what follows; nothing for one of another scheme.
fn split_url(text: &str) -> Option<(bool, &str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let secure = scheme.eq_ignore_ascii_case("https");
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    (secure || scheme.eq_ignore_ascii_case("http")).then_some((secure, authority, path))
}

/// Splits the port off. The colons of an IPv6 address stand between brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

/// Checks a prefix. A slash at its end says nothing and is dropped.
fn prefix(path: &str) -> Result<&str, SiteError> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let Some(below) = path.strip_prefix('/') else {
        return Err(if path.is_empty() { SiteError::NoPrefix } else { SiteError::Prefix });
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
    let whole = |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(plain);
    if !below.split('/').all(whole) {
        return Err(SiteError::Prefix);
    }
    let first = below.split('/').next().unwrap_or_default();
    match RESERVED.into_iter().find(|reserved| first.eq_ignore_ascii_case(reserved)) {
        Some(reserved) => Err(SiteError::Reserved(reserved)),
        None => Ok(path),
    }
}

/// Whether every browser resolves this to the same path at the same origin.
fn is_plain_path(text: &str) -> bool {
    let dots = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= MAX_HOME
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
        && !path_of(text).split('/').any(dots)
}

/// The path alone, without query and fragment.
fn path_of(text: &str) -> &str {
    text.split(['?', '#']).next().unwrap_or_default()
}

fn join(start: &str, below: &str) -> String {
    match below.strip_prefix('/').unwrap_or(below) {
        "" => start.to_owned(),
        below => format!("{start}/{below}"),
    }
}

#[cfg(test)]
mod tests;
