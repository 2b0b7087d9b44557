//! `GET /session`: who is signed in, for scripts of the same origin. A script that asks over and over does not keep the
//! session alive.

use axum::{
    Json, Router,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use super::{BrowserRequest, BrowserState, cross_site, headers, problem::Problem};

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/session", get(show))
}

async fn show(request: BrowserRequest) -> Response {
    if !cross_site::is_same_origin_read(&request.headers) {
        return refused(&request, Problem::CrossSiteRequest, "the request comes from another site");
    }
    let session = match request.unused_session().await {
        Ok(Some(session)) => session,
        Ok(None) => return refused(&request, Problem::NoSession, "nobody is signed in; sign in first"),
        Err(error) => {
            tracing::error!(request_id = %request.ctx.request_id, cause = ?error, "cannot tell who is signed in");
            return refused(&request, Problem::Unavailable, "the service is temporarily unavailable; try again");
        }
    };
    let rights = request.state.service.browser.rights(&session);
    let body = json!({
        "subject": session.subject,
        "name": session.name(),
        "email": session.email(),
        "roles": rights.roles,
        "permissions": rights.permissions,
        "guest": session.is_guest(),
        "session_id": session.id.as_str(),
        "auth_time": session.auth_time.to_string(),
        "idle_expire_time": session.idle_expires_at().to_string(),
        "expire_time": session.absolute_expires_at.to_string(),
    });
    let mut response = Json(body).into_response();
    headers::json(&mut response, &request.site);
    request.add_cookies(&mut response);
    response
}

/// A refusal. A cookie that stands for no session is taken away with it.
pub(super) fn refused(request: &BrowserRequest, problem: Problem, detail: &str) -> Response {
    let mut response = problem.answer(detail);
    headers::problem(&mut response, &request.site);
    if problem == Problem::NoSession {
        request.add_cookies(&mut response);
    }
    response
}
