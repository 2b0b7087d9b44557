//! The pages that people see in a browser. They stand below the prefix of each site; `site` finds the site of a request
//! before anything else is looked at.

mod account;
mod account_pages;
mod answer;
mod arrival;
mod arriving;
mod assets;
mod context;
pub mod cookies;
pub mod cross_site;
mod data;
mod forgot;
pub mod form;
pub mod headers;
mod home;
mod json;
mod language;
mod log;
mod login;
mod logout;
mod loopback;
mod problem;
mod query;
mod register;
mod reset;
mod session;
mod site;
mod step;
mod token;
mod verify;
mod visitor;

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use tower::ServiceExt;

pub(super) use self::arrival::Said;
pub use self::{
    answer::Page,
    arrival::{Arrival, connection_of},
    context::BrowserRequest,
    home::DevHints,
    problem::Problem,
    query::{Doubled, Query},
    site::{Misdirected, SiteOf},
};
use crate::{
    domain::{network::Proxies, site::Site},
    service::Service,
    time::LogPace,
    web::{
        ApiDocument,
        accept::wants_json,
        pages::{ErrorKind, Pages},
    },
};

/// What the pages are told besides the service.
#[derive(Clone, Debug, Default)]
pub struct BrowserOptions {
    /// The proxies that are believed.
    pub proxies: Proxies,
    /// Whether this is the demo.
    pub dev: bool,
    /// The pages; the built-in ones, unless there are others.
    pub pages: Option<Pages>,
    /// What the page of things to try says; without it, there is none.
    pub hints: Option<DevHints>,
    /// The document that describes the calls; without it, there is none.
    pub api: Option<ApiDocument>,
}

/// The pages that are built in.
#[expect(clippy::expect_used, reason = "a test loads them")]
static BUILT_IN: LazyLock<Pages> = LazyLock::new(|| Pages::new(None).expect("the built-in pages"));

/// What every page has at hand. Cheap to clone.
#[derive(Clone)]
pub struct BrowserState(Arc<Inner>);

/// The contents of [`BrowserState`].
pub struct Inner {
    /// The use cases.
    pub service: Service,
    /// The proxies that are believed.
    pub proxies: Proxies,
    /// Whether this is the demo.
    pub dev: bool,
    /// The pages.
    pub pages: Pages,
    /// What the page of things to try says.
    pub hints: Option<DevHints>,
    misdirected: LogPace,
}

impl fmt::Debug for BrowserState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrowserState")
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrowserState")
    }
}

impl Deref for BrowserState {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl BrowserState {
    /// Puts it together.
    #[must_use]
    pub fn new(service: Service, options: BrowserOptions) -> Self {
        let BrowserOptions { proxies, dev, pages, hints, .. } = options;
        let pages = pages.unwrap_or_else(|| BUILT_IN.clone());
        Self(Arc::new(Inner { service, proxies, dev, pages, hints, misdirected: LogPace::default() }))
    }
}

/// The pages, by their paths below the prefix: `/login` is at `/auth/login` where the prefix is `/auth`. Each handler can
/// take a [`BrowserRequest`].
fn pages() -> Router<BrowserState> {
    Router::new()
        .merge(account::routes())
        .merge(assets::routes())
        .merge(data::routes())
        .merge(forgot::routes())
        .merge(language::routes())
        .merge(login::routes())
        .merge(logout::routes())
        .merge(register::routes())
        .merge(reset::routes())
        .merge(session::routes())
        .merge(step::routes())
        .merge(token::routes())
        .merge(verify::routes())
        .merge(visitor::routes())
        .route("/", get(async |request: BrowserRequest| request.go_to(&request.site.path("account"))))
        .method_not_allowed_fallback(async |request: BrowserRequest| request.refused(ErrorKind::Method))
        .fallback(async |request: BrowserRequest| request.refused(ErrorKind::NotFound))
}

/// Answers what is below the prefix of the site that the request was sent to, and leaves everything else to `others`.
pub(super) fn routes(state: BrowserState, others: Router) -> Router {
    let record = axum::middleware::from_fn_with_state(state.clone(), log::record);
    let pages = pages().layer(record).with_state(state.clone());
    Router::new().fallback(async move |request: Request| dispatch(state, pages, others, request).await)
}

/// The issuer's front page.
pub(super) fn front_routes(state: BrowserState) -> Router {
    home::routes(state)
}

async fn dispatch(state: BrowserState, pages: Router, others: Router, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let found = SiteOf::find(&state, &parts);
    match found {
        Ok(found) if found.site.owns(parts.uri.path()) && !is_document(&found.site, parts.uri.path()) => {
            // A service worker there would see every request of the sign-in pages.
            if cross_site::is_service_worker(&parts.headers) {
                return headers::bare(StatusCode::FORBIDDEN, "A service worker has no place here.\n");
            }
            let Some(below) = below(found.site.prefix(), &parts.uri) else { return not_found() };
            parts.extensions.insert(context::AskedFor(path_and_query(&parts.uri)));
            parts.uri = below;
            parts.extensions.insert(found.clone());
            let in_json = wants_json(&parts.headers);
            let request = arriving::without_claim_until_arrived(Request::from_parts(parts, body));
            if in_json { json::answer(&state, found, &pages, request).await } else { answer_of(pages, request).await }
        }
        Err(misdirected) if wants_json(&parts.headers) && is_of_a_site(&state, parts.uri.path()) => {
            misdirected.problem(&state)
        }
        Err(misdirected) if state.dev && misdirected.declared_name().is_some() => misdirected.answer(&state),
        Err(misdirected) if is_of_a_site(&state, parts.uri.path()) => misdirected.answer(&state),
        _ => answer_of(others, Request::from_parts(parts, body)).await,
    }
}

/// Whether a path is that of a document of an issuer that has the same path as its site has.
fn is_document(site: &Site, path: &str) -> bool {
    let below = path.strip_prefix(site.prefix()).unwrap_or_default();
    below.starts_with("/.well-known/") || below == "/statuslists" || below.starts_with("/statuslists/")
}

/// Whether a path is below the prefix of any site, so that it was meant for one.
fn is_of_a_site(state: &BrowserState, path: &str) -> bool {
    state.service.live.snapshot().sites().any(|site| site.owns(path))
}

/// Nothing is here, which may change: it is where the pages of a site were, or will be.
pub(super) fn not_found() -> Response {
    headers::bare(StatusCode::NOT_FOUND, "Not found.\n")
}

async fn answer_of(routes: Router, request: Request<Body>) -> Response {
    let answered: Result<Response, _> = routes.oneshot(request).await;
    answered.into_response()
}

fn path_and_query(uri: &Uri) -> String {
    uri.path_and_query().map_or("/", |both| both.as_str()).to_owned()
}

/// The URI below a prefix: `/auth` and `/auth/` are `/`.
fn below(prefix: &str, uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_prefix(prefix)?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("/{}{query}", path.strip_prefix('/').unwrap_or(path)).parse().ok()
}
