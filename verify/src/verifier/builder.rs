//! Settings of a verifier.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use super::{
    RevocationSource, Verifier,
    address::{SettingsError, check_issuer, check_url, refuse_plaintext},
    http::HttpClient,
    keyring::Keyring,
    source::Source,
    status_list::Lists,
};
#[cfg(feature = "watch")]
use crate::watch::Watch;
use crate::{Clock, KeySet, Policy, SystemClock, TlsFiles, TokenCache, token_cache::bytes_for};

/// The default of [`VerifierBuilder::fail_open_for`].
const DEFAULT_FAIL_OPEN_MS: i64 = 300_000;
/// The default of [`VerifierBuilder::cache_bytes`]: about 10 000 tokens.
const DEFAULT_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Builds a [`Verifier`]. The order of the calls does not matter; of two that contradict, the last one counts.
#[must_use]
pub struct VerifierBuilder {
    policy: Policy,
    keys: Keys,
    revocations: Revocations,
    clock: Arc<dyn Clock>,
    http_client: Option<reqwest::Client>,
    tls_files: Option<TlsFiles>,
    plain_http: bool,
    fail_open_ms: i64,
    cache_bytes: usize,
}

/// Where the keys are.
enum Keys {
    AtIssuer,
    At(String),
    InFile(PathBuf),
    Fixed(KeySet),
}

/// How revocations are learnt.
enum Revocations {
    None,
    StatusLists,
    #[cfg(feature = "watch")]
    Watch(Box<Watch>),
}

impl fmt::Debug for VerifierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifierBuilder").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl VerifierBuilder {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            keys: Keys::AtIssuer,
            revocations: Revocations::None,
            clock: Arc::new(SystemClock),
            http_client: None,
            tls_files: None,
            plain_http: false,
            fail_open_ms: DEFAULT_FAIL_OPEN_MS,
            cache_bytes: DEFAULT_CACHE_BYTES,
        }
    }

    /// Fetches the keys from this URL instead of `{issuer}/.well-known/jwks.json`.
    pub fn jwks_url(mut self, url: impl Into<String>) -> Self {
        self.keys = Keys::At(url.into());
        self
    }

    /// Reads the keys from a regular file: again every five minutes, and when a token names a key the file did not
    /// have. Keys pushed by the issuer are then ignored, so a revoked key must be removed from the file.
    pub fn jwks_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.keys = Keys::InFile(path.into());
        self
    }

    /// Uses this key set and never fetches another.
    pub fn jwks(mut self, set: KeySet) -> Self {
        self.keys = Keys::Fixed(set);
        self
    }

    /// Looks up revocations in the issuer's token status lists (draft-ietf-oauth-status-list). A list is
    /// fetched when a token first refers to it, and again before its `ttl` is over. Tokens that refer to no
    /// list are refused.
    pub fn status_lists(mut self) -> Self {
        self.revocations = Revocations::StatusLists;
        self
    }

    /// Receives revocations and keys over gRPC as they happen, instead of status lists. The streams start when the
    /// verifier is built, which must be within a tokio runtime, and stop when it is dropped.
    #[cfg(feature = "watch")]
    pub fn watch(mut self, watch: Watch) -> Self {
        self.revocations = Revocations::Watch(Box::new(watch));
        self
    }

    /// Accepts tokens of guests too: see [`Policy::allow_guests`].
    pub fn allow_guests(mut self, allow: bool) -> Self {
        self.policy = self.policy.allow_guests(allow);
        self
    }

    /// Uses another clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Fetches keys and lists with a client of your own, for its proxies, certificates or DNS. These limits hold all
    /// the same: 1 MiB for keys and 4 MiB for a list, five seconds for each, and no redirects. What a redirect leads
    /// to is never used, but only a client with [`redirect::Policy::none`](reqwest::redirect::Policy::none) does not
    /// fetch it either.
    pub fn http_client(mut self, client: reqwest::Client) -> Self {
        self.http_client = Some(client);
        self
    }

    /// Fetches keys and lists with the certificates in these files. A [client of your own](Self::http_client) has its
    /// own.
    pub fn tls_files(mut self, files: TlsFiles) -> Self {
        self.tls_files = Some(files);
        self
    }

    /// Fetches keys and lists over plain HTTP from other machines too. Whoever can change what is sent can then make
    /// tokens of their own, so this is only for networks that are protected another way, such as a service mesh.
    pub fn plain_http_beyond_loopback(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// How long a stale verifier goes on accepting tokens while the issuer cannot be reached. The default is
    /// five minutes, the usual lifetime of an access token: an outage of the issuer then takes no service down,
    /// and the verifier is never worse than one without revocation. Zero refuses every token as soon as the
    /// verifier is stale.
    pub fn fail_open_for(mut self, time: Duration) -> Self {
        self.fail_open_ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self
    }

    /// Caches verified tokens in at most this many bytes of memory. A usual token takes about 2 KiB, and one
    /// over 4 KiB is checked anew each time. The default is 16 MiB, and 0 turns the cache off. A cached token's
    /// time, key and revocation are checked every time; its signature is not.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Caches about this many verified tokens, in 2 KiB of memory for each.
    #[deprecated(note = "the cache is bounded in bytes; use `cache_bytes`")]
    pub fn cache_tokens(self, tokens: usize) -> Self {
        self.cache_bytes(bytes_for(tokens))
    }

    /// Builds the verifier. Nothing is fetched yet.
    ///
    /// # Errors
    /// An address is not an `https` URL, or one on this machine; an audience is empty; the TLS files cannot be used; or a verifier that watches is
    /// built outside of a tokio runtime.
    pub fn build(self) -> Result<Verifier, SettingsError> {
        let issuer = check_issuer(self.policy.issuer())?;
        if self.policy.has_empty_audience() {
            return Err(SettingsError::NoAudience);
        }
        let made = match (&self.http_client, &self.tls_files) {
            (None, Some(files)) => {
                Some(HttpClient::with_files(files).map_err(|reason| SettingsError::TlsFiles { reason })?)
            }
            _ => None,
        };
        let mut client = Client { given: self.http_client, made };
        let allow = |setting, url: &reqwest::Url| {
            if self.plain_http { Ok(()) } else { refuse_plaintext(setting, url) }
        };
        let keys = Arc::new(match self.keys {
            Keys::AtIssuer => {
                allow("issuer", &issuer)?;
                let url = format!("{}/.well-known/jwks.json", self.policy.issuer().trim_end_matches('/'));
                Keyring::new(Source::Url { url: check_url("issuer", &url)?, client: client.get() })
            }
            Keys::At(url) => {
                let url = check_url("jwks_url", &url)?;
                allow("jwks_url", &url)?;
                Keyring::new(Source::Url { url, client: client.get() })
            }
            Keys::InFile(path) => Keyring::new(Source::file(path)),
            Keys::Fixed(set) => Keyring::fixed(set),
        });
        let revocations = match self.revocations {
            Revocations::None => RevocationSource::None,
            Revocations::StatusLists => {
                allow("issuer", &issuer)?;
                RevocationSource::StatusLists(Arc::new(Lists::new(self.policy.issuer(), client.get())))
            }
            #[cfg(feature = "watch")]
            Revocations::Watch(watch) => {
                tokio::runtime::Handle::try_current().map_err(|_| SettingsError::NoRuntime)?;
                RevocationSource::Stream(watch.start(&keys, &self.clock))
            }
        };
        Ok(Verifier {
            policy: self.policy,
            keys,
            clock: self.clock,
            revocations,
            fail_open_ms: self.fail_open_ms,
            cache: TokenCache::with_bytes(self.cache_bytes),
        })
    }
}

/// One client for keys and lists, made when it is first needed: that reads the machine's certificates.
struct Client {
    given: Option<reqwest::Client>,
    made: Option<HttpClient>,
}

impl Client {
    fn get(&mut self) -> HttpClient {
        let given = self.given.take();
        self.made.get_or_insert_with(|| given.map_or_else(HttpClient::new, HttpClient::from)).clone()
    }
}
