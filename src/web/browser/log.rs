//! What is done for every request below a prefix: its context, its deadline, and its line in the log.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;

use super::{BrowserState, SiteOf, answer::with_retry_after, headers, problem::Problem};
use crate::{domain::site::Site, service::RequestContext, time::Ttl, web::accept::wants_json};

/// How long a page may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// The page of a path, without what follows: the ids of steps stand there.
fn page(path: &str) -> &str {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let plain = first.len() <= 16 && first.bytes().all(|b| b.is_ascii_lowercase());
    if plain { first } else { "unknown" }
}

/// The answer where there is none in time.
fn too_slow(site: &Site, in_json: bool) -> Response {
    if in_json {
        let mut response = Problem::Unavailable.answer("this takes too long; try again");
        headers::problem(&mut response, site);
        return response;
    }
    let response = headers::bare(StatusCode::SERVICE_UNAVAILABLE, "This takes too long. Try again.\n");
    with_retry_after(response, Some(Ttl::from_secs(1)))
}

/// The context of a request that has just arrived.
pub(super) fn context(state: &BrowserState, found: &SiteOf, headers: &HeaderMap) -> RequestContext {
    let user_agent = headers.get(header::USER_AGENT).map_or(&[][..], HeaderValue::as_bytes);
    RequestContext { deadline: Some(Instant::now() + DEADLINE), ..found.context(state, user_agent) }
}

/// Says which request it is that is answered.
pub(super) fn add_request_id(response: &mut Response, ctx: &RequestContext) {
    if let Ok(id) = HeaderValue::from_str(ctx.request_id.as_str()) {
        response.headers_mut().insert("x-request-id", id);
    }
}

/// Gives a request its context and, once it is answered, writes its line: at INFO if this server failed, else at DEBUG,
/// since anybody can ask for what is refused. Neither query nor cookies are logged.
pub(super) async fn record(State(state): State<BrowserState>, mut request: Request, next: Next) -> Response {
    let Some(found) = request.extensions().get::<SiteOf>().cloned() else { return next.run(request).await };
    let arrived = Instant::now();
    // A request that is led through several pages has one for all of them.
    let ctx = request.extensions().get::<RequestContext>().cloned();
    let ctx = ctx.unwrap_or_else(|| context(&state, &found, request.headers()));
    let in_json = wants_json(request.headers());
    request.extensions_mut().insert(ctx.clone());
    let method = request.method().clone();
    let page = page(request.uri().path()).to_owned();
    let answered = tokio::time::timeout_at(ctx.deadline.unwrap_or(arrived + DEADLINE), next.run(request)).await;
    let mut response = answered.unwrap_or_else(|_| too_slow(&found.site, in_json));
    add_request_id(&mut response, &ctx);
    let status = response.status().as_u16();
    let ms = u64::try_from(arrived.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (caller, request_id, peer) = (ctx.caller.get(), ctx.request_id.as_str(), &ctx.peer);
    if status < 500 {
        tracing::debug!(%method, page, caller, status, ms, request_id, peer, "page");
    } else {
        tracing::info!(%method, page, caller, status, ms, request_id, peer, "page");
    }
    response
}
