//! `POST /token`: an access token for scripts of the same origin, where the page has no server of its own. The script
//! keeps it in memory and asks again. Nothing that outlives the session is given: no refresh token, ever (RFC 10017).

use axum::{
    Json, Router,
    body::HttpBody,
    extract::Request,
    http::header,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;

use super::{
    BrowserRequest, BrowserState,
    cross_site::check_unsafe,
    form::{Form, FormError},
    headers,
    problem::Problem,
    session::refused,
};
use crate::{error::Error, service::Identity, time::Timestamp};

/// The fields of a request.
const AUDIENCE: &str = "audience";
const GUEST: &str = "guest";

/// What is asked for.
#[derive(Default)]
struct Asked {
    /// The audience; empty for the default.
    audience: String,
    /// Whether a guest's token will do.
    guest: bool,
}

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/token", post(give))
}

async fn give(request: BrowserRequest, body: Request) -> Response {
    // A script of another origin cannot read the answer anyway; nothing is signed for it either.
    if let Err(why) = check_unsafe(&request.headers, &request.site, false) {
        tracing::info!(request_id = %request.ctx.request_id, why = why.as_str(), "a script from elsewhere gets no token");
        return refused(&request, Problem::CrossSiteRequest, "the request comes from another site");
    }
    let browser = &request.state.service.browser;
    if let Err(error) = browser.check_gives_tokens(&request.client) {
        return failed(&request, &error);
    }
    // The session is in use: for a page without a server, nothing else says so.
    let nobody = || refused(&request, Problem::NoSession, "nobody is signed in; sign in first");
    let session = match request.any_session().await {
        Ok(Some(session)) => session,
        Ok(None) => return nobody(),
        Err(error) => return failed(&request, &error),
    };
    let Asked { audience, guest } = match asked(&request, body).await {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    if session.is_guest() && !guest {
        return nobody();
    }
    match browser.identity_for_scripts(&session, &audience, request.ctx.now).await {
        Ok(identity) => {
            let mut response = Json(token(&identity, request.ctx.now)).into_response();
            headers::json(&mut response, &request.site);
            request.add_cookies(&mut response);
            response
        }
        Err(error) => failed(&request, &error),
    }
}

fn failed(request: &BrowserRequest, error: &Error) -> Response {
    let (problem, detail) = Problem::of(error);
    if matches!(problem, Problem::Internal | Problem::Unavailable) {
        tracing::error!(request_id = %request.ctx.request_id, cause = ?error, "no token for a script");
    }
    refused(request, problem, &detail)
}

/// Reads what is asked for.
async fn asked(request: &BrowserRequest, body: Request) -> Result<Asked, Box<Response>> {
    let wrong = |detail: &str| Box::new(refused(request, Problem::InvalidArgument, detail));
    if body.uri().query().is_some_and(|query| !query.is_empty()) {
        return Err(wrong("parameters stand in the body, as a form or in JSON"));
    }
    if !request.headers.contains_key(header::CONTENT_TYPE) && body.body().is_end_stream() {
        return Ok(Asked::default());
    }
    let form =
        Form::read(&request.headers, body.into_body()).await.map_err(|error| Box::new(no_form(request, &error)))?;
    if let Some(other) = form.names().find(|name| ![AUDIENCE, GUEST].contains(name)) {
        return Err(wrong(&format!("{other} is not a parameter of this page")));
    }
    let guest = match form.text(GUEST) {
        "" => false,
        "1" => true,
        _ => return Err(wrong("guest must be 1 or left out")),
    };
    Ok(Asked { audience: form.text(AUDIENCE).to_owned(), guest })
}

fn no_form(request: &BrowserRequest, error: &FormError) -> Response {
    let mut response = Problem::InvalidArgument.answer_as(error.status(), &error.to_string());
    headers::problem(&mut response, &request.site);
    response
}

fn token(identity: &Identity, now: Timestamp) -> serde_json::Value {
    json!({
        "access_token": identity.token(),
        "token_type": "Bearer",
        "expires_in": identity.expires_at.since(now).seconds(),
        "expire_time": identity.expires_at.to_string(),
        "audience": identity.audience.as_str(),
        "scopes": identity.scopes,
    })
}
