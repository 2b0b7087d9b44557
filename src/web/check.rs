//! `GET /auth/check`, on a listener of its own: proxies in front of applications ask it whose request it is.
//!
//! On the public listener, anybody's script could read the token behind the cookie there.

mod answer;
mod decide;
mod forwarded;
mod options;

use std::{fmt, net::IpAddr, sync::Arc};

use aws_lc_rs::constant_time;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chancery_guard::listener::Peer;

use self::answer::Refusal;
pub(super) use self::forwarded::upgrades;
pub use self::{
    decide::{Checker, Decision, Identified},
    forwarded::ForwardedRequest,
    options::CheckOptions,
};
use crate::{
    domain::network::{Network, Proxies},
    secret::sha256,
};

/// The header in which a proxy proves that it may ask. Browsers' requests can have it too, so that every proxy sets it.
pub const CHECK_SECRET: &str = "chancery-check-secret";

/// The networks of this machine itself.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// What proxies prove that they may ask with.
pub struct CheckSecret([u8; 32]);

impl CheckSecret {
    /// Keeps the hash of a secret.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(sha256(secret.as_bytes()))
    }

    /// Whether this is the secret. Hashes are compared, so that the time says nothing about either.
    fn is(&self, presented: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &sha256(presented)).is_ok()
    }
}

impl fmt::Debug for CheckSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckSecret(…)")
    }
}

/// Who may ask, and how they describe requests.
#[derive(Debug)]
pub struct CheckAccess {
    /// The proxies whose word counts, and the headers in which they speak.
    pub proxies: Proxies,
    /// What they prove themselves with; beyond loopback there must be one.
    pub secret: Option<CheckSecret>,
}

impl CheckAccess {
    /// For a demo, loopback is a proxy too.
    #[must_use]
    pub fn new(proxies: &Proxies, secret: Option<CheckSecret>, dev: bool) -> Self {
        let mut proxies = proxies.clone();
        if dev {
            proxies.trusted.extend(LOOPBACK.iter().filter_map(|network| network.parse::<Network>().ok()));
        }
        Self { proxies, secret }
    }
}

#[derive(Clone)]
struct Listener {
    checker: Checker,
    access: Arc<CheckAccess>,
}

/// The routes of the internal listener.
pub fn check_routes(checker: Checker, access: CheckAccess) -> Router {
    Router::new().route("/auth/check", get(check)).with_state(Listener { checker, access: Arc::new(access) })
}

async fn check(State(listener): State<Listener>, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let decision = listener.decide(peer, request.uri(), request.headers()).await;
    match decision {
        Ok(Decision::Pass(Identified { headers })) => {
            let mut response = StatusCode::OK.into_response();
            let out = response.headers_mut();
            out.extend(headers.into_iter().map(|(name, value)| (Some(name), value)));
            out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Ok(Decision::Answer(response)) => response,
        Err(refusal) => listener.checker.refuse(&refusal),
    }
}

impl Listener {
    async fn decide(&self, peer: Option<Peer>, uri: &Uri, headers: &HeaderMap) -> Result<Decision, Refusal> {
        let proxy = self.admit(peer, headers)?;
        let options = CheckOptions::parse(uri.query().unwrap_or_default())
            .map_err(|wrong| Refusal::BadRequest(format!("{} {}", wrong.name, wrong.problem)))?;
        let request = ForwardedRequest::read(headers, (&self.access.proxies, proxy), &options)?;
        Ok(self.checker.decide(&request).await)
    }

    /// Only proxies of this deployment may ask: whoever may names any site, and gets the token behind a cookie.
    fn admit(&self, peer: Option<Peer>, headers: &HeaderMap) -> Result<IpAddr, Refusal> {
        let proxy = peer.map(|Peer(address)| address.ip().to_canonical());
        let Some(proxy) = proxy.filter(|address| self.access.proxies.trusts(*address)) else {
            return Err(Refusal::NotAProxy("this address is none of those that --trusted-proxy names"));
        };
        let Some(secret) = &self.access.secret else { return Ok(proxy) };
        let mut presented = headers.get_all(CHECK_SECRET).iter();
        match (presented.next(), presented.next()) {
            (Some(value), None) if secret.is(value.as_bytes()) => Ok(proxy),
            _ => Err(Refusal::NotAProxy("chancery-check-secret must be what --check-secret-file has")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_whole_and_does_not_print() {
        let secret = CheckSecret::new("0123456789abcdef");
        assert!(secret.is(b"0123456789abcdef"));
        assert!(!secret.is(b"0123456789abcdeF") && !secret.is(b"0123456789abcdef0") && !secret.is(b""));
        assert_eq!(format!("{secret:?}"), "CheckSecret(…)");
    }

    #[test]
    fn loopback_is_believed_in_a_demo_alone() {
        let believes = |dev| {
            let access = CheckAccess::new(&Proxies::default(), None, dev);
            ["127.0.0.1", "::1", "192.0.2.1"].map(|ip| access.proxies.trusts(ip.parse().unwrap()))
        };
        assert_eq!((believes(true), believes(false)), ([true, true, false], [false; 3]));
    }
}
