//! `GET /visitor`: recognises a visitor before anybody signs in. It is recognition, never authorization.

use axum::{
    Json, Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use super::{BrowserRequest, BrowserState, answer::Page, cross_site, headers};
use crate::{
    domain::return_path::ReturnPath,
    web::pages::{ErrorKind, GoOn, View},
};

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/visitor", get(show))
}

/// With `return_to`, a page that goes on there: one that was come to from another site keeps its cookies, where those of
/// a redirect may be lost. Without it, the visitor's id, for scripts of the same origin.
async fn show(request: BrowserRequest) -> Response {
    let return_to = match request.query.get("return_to") {
        Ok(return_to) => return_to,
        Err(doubled) => return request.bad_parameter(doubled.0),
    };
    let Some(return_to) = return_to else { return id(&request) };
    let path = ReturnPath::parse(return_to, &request.site);
    let path = path.as_ref().map_or(request.site.home(), ReturnPath::as_str);
    let mut response = request.page(Page::new(View::GoOn(GoOn { continue_to: path.to_owned() })));
    // The path is visible ASCII. A program goes on by itself.
    if !request.in_json
        && let Ok(refresh) = HeaderValue::from_str(&format!("0;url={}{path}", request.site.origin()))
    {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

fn id(request: &BrowserRequest) -> Response {
    if !cross_site::is_same_origin_read(&request.headers) {
        return request.refused(ErrorKind::CrossSite);
    }
    let mut response = Json(json!({ "visitor_id": request.visitor.id.to_string() })).into_response();
    headers::json(&mut response, &request.site);
    request.add_cookies(&mut response);
    response
}
