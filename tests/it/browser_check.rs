//! The check for applications behind a proxy: from a cookie to a token, from memory.

mod answers;
mod audiences;
mod json;
mod memory;
mod sessions;
mod touches;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use chancery::{
    domain::{
        network::Proxies,
        session::{Session, SessionKind, browser_idle_expiry},
    },
    entropy::OsEntropy,
    id::{SessionId, VisitorId},
    keys::{SealingKey, SealingKeys, session_cookie, visitor_cookie},
    metrics::Metrics,
    secret::SessionSecret,
    service::{Admin, NewClientRequest, Service},
    time::Ttl,
    web::{CheckAccess, CheckSecret, Checker, check_routes},
};
use chancery_guard::listener::Peer;
use serde_json::{Map, Value};
use tower::ServiceExt;

use crate::support::{App, first_party};

/// The name of the cookie on a site with TLS.
pub(crate) const COOKIE: &str = "__Host-chancery-session";
pub(crate) const SITE: &str = "https://shop.example";
/// How long a session may be idle.
const IDLE: Ttl = Ttl::from_days(7);

/// A session in a browser.
pub(crate) struct InBrowser {
    pub(crate) session: Session,
    pub(crate) cookie: String,
}

fn sealing() -> SealingKeys {
    SealingKey::new(&SealingKey::parse(&[7; 32]).unwrap()).into()
}

/// An application with a site.
pub(crate) async fn shop(app: &App) {
    app.service.clients.create(&Admin::command(), shop_with_site("shop")).await.unwrap();
}

/// A client with the site of the shop.
pub(crate) fn shop_with_site(id: &str) -> NewClientRequest {
    NewClientRequest { site: format!("{SITE}/auth"), ..first_party(id, &["api", "other"]) }
}

/// A session of Ada's in a browser at the shop, changed before it is written.
pub(crate) async fn session_with(app: &App, change: impl FnOnce(&mut Session)) -> InBrowser {
    let entropy = OsEntropy;
    let (now, secret) = (app.service.now(), SessionSecret::generate(&entropy));
    let mut tx = app.service.store().write().await.unwrap();
    let user = tx.user_by_login("ada").await.unwrap().unwrap().user;
    let mut session = Session {
        id: SessionId::new(now, &entropy),
        kind: SessionKind::Browser,
        parent: None,
        site: Some(SITE.to_owned()),
        superseded_by: None,
        user: Some(user.id),
        subject: user.subject,
        client: "shop".parse().unwrap(),
        generation: 0,
        secret: secret.hash(),
        rotated_at: now,
        previous_rotated_at: now,
        rotation_request_id: None,
        auth_time: now,
        amr: vec!["pwd".to_owned()],
        acr: "1".to_owned(),
        scopes: vec!["read".parse().unwrap(), "write".parse().unwrap()],
        audiences: vec!["api".parse().unwrap(), "other".parse().unwrap()],
        claims: Map::new(),
        roles: Vec::new(),
        created_at: now,
        idle_ttl: IDLE,
        idle_expires_at: browser_idle_expiry(now, IDLE),
        absolute_expires_at: now.plus(Ttl::from_days(30)),
        revoked: None,
        device_label: String::new(),
        user_agent: String::new(),
        address: String::new(),
        status: None,
    };
    change(&mut session);
    tx.session_insert(&session).await.unwrap();
    tx.commit().await.unwrap();
    let cookie = session_cookie::mint(&sealing(), &session.id, &secret, false).expose().to_owned();
    InBrowser { session, cookie }
}

pub(crate) async fn session(app: &App) -> InBrowser {
    session_with(app, |_| {}).await
}

/// The cookie of a visitor, and who it is.
fn visitor(app: &App) -> (String, String) {
    let id = VisitorId::new(&OsEntropy);
    let day = u32::try_from(app.service.now().seconds() / 86_400).unwrap();
    (visitor_cookie::mint(&sealing(), &id, day).expose().to_owned(), id.to_string())
}

/// The check of a process.
pub(crate) struct Check {
    routes: Router,
    pub(crate) metrics: Arc<Metrics>,
}

impl Check {
    pub(crate) fn of(service: &Service) -> Self {
        Self::with(service, CheckAccess::new(&Proxies::default(), None, true))
    }

    fn with_secret(service: &Service, secret: &str) -> Self {
        Self::with(service, CheckAccess::new(&Proxies::default(), Some(CheckSecret::new(secret)), true))
    }

    fn with(service: &Service, access: CheckAccess) -> Self {
        let metrics = Arc::new(Metrics::default());
        let checker = Checker::new(service.clone(), metrics.clone());
        Self { routes: check_routes(checker, access), metrics }
    }

    /// Asks about a request that is as a browser's navigation is, but for these headers; an empty value takes one away.
    pub(crate) async fn ask(&self, query: &str, changes: &[(&str, &str)]) -> Answer {
        let usual = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-uri", "/orders?page=2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
            ("sec-fetch-site", "none"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        let kept = usual.iter().filter(|(name, _)| changes.iter().all(|(other, _)| other != name));
        let all = kept.chain(changes.iter().filter(|(_, value)| !value.is_empty()));
        self.send(query, "127.0.0.1:4000", all.copied()).await
    }

    pub(crate) async fn send<'a>(
        &self,
        query: &str,
        peer: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Answer {
        let mut request = Request::get(format!("/auth/check{query}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.extension(Peer(peer.parse().unwrap())).body(Body::empty()).unwrap();
        let (parts, body) = self.routes.clone().oneshot(request).await.unwrap().into_parts();
        let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        assert_eq!(parts.headers["cache-control"], "no-store");
        assert!(!parts.headers.contains_key("set-cookie"));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Asks about a navigation with the cookie of a session.
    pub(crate) async fn visit(&self, query: &str, browser: &InBrowser) -> Answer {
        self.ask(query, &[("cookie", &format!("{COOKIE}={}", browser.cookie))]).await
    }

    /// Asks about a request of a script on the page.
    async fn fetch(&self, query: &str, method: &str, browser: &InBrowser) -> Answer {
        let cookie = format!("{COOKIE}={}", browser.cookie);
        let own = [("cookie", &*cookie), ("x-forwarded-method", method)];
        self.ask(query, &own.into_iter().chain(FETCH).collect::<Vec<_>>()).await
    }

    fn counted(&self, outcome: &str) -> bool {
        let line = format!("chancery_checks_total{{outcome=\"{outcome}\"}} ");
        self.metrics.text().lines().any(|l| l.starts_with(&line))
    }
}

/// The headers of a request by a script of the site's own.
const FETCH: [(&str, &str); 3] =
    [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")];

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("{name} in {:?}", self.headers)).to_str().unwrap()
    }

    /// Status and reason of a problem document.
    fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], self.status.as_u16());
        (self.status.as_u16(), body["reason"].as_str().unwrap().to_owned())
    }

    fn detail(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["detail"].as_str().unwrap().to_owned()
    }
}

/// Every header that an application gets.
const HEADERS: [&str; 11] = [
    "x-chancery-subject",
    "x-chancery-client-id",
    "x-chancery-session-id",
    "x-chancery-scopes",
    "x-chancery-permissions",
    "x-chancery-roles",
    "x-chancery-claims",
    "x-chancery-name",
    "x-chancery-email",
    "x-chancery-token",
    "x-chancery-visitor",
];
