//! `GET /assets/{name}`: the style sheet, the script and the colours of the pages, under names that change with what they
//! contain.

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{BrowserRequest, BrowserState, headers};
use crate::web::pages::{Asset, ErrorKind};

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/assets/{name}", get(show))
}

async fn show(request: BrowserRequest, Path(name): Path<String>) -> Response {
    let Some(Asset { content_type, content }) = request.state.pages.asset(&name) else {
        return request.refused(ErrorKind::NotFound);
    };
    let body = Body::from(content.into_owned());
    let mut response = ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response();
    headers::asset(&mut response, &request.site);
    response
}
