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

/// The only field of a request.
const AUDIENCE: &str = "audience";

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
    let session = match request.session().await {
        Ok(Some(session)) => session,
        Ok(None) => return refused(&request, Problem::NoSession, "nobody is signed in; sign in first"),
        Err(error) => return failed(&request, &error),
    };
    let audience = match audience(&request, body).await {
        Ok(audience) => audience,
        Err(response) => return *response,
    };
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

/// The audience that is asked for; empty for the default.
async fn audience(request: &BrowserRequest, body: Request) -> Result<String, Box<Response>> {
    let wrong = |detail: &str| Box::new(refused(request, Problem::InvalidArgument, detail));
    if body.uri().query().is_some_and(|query| !query.is_empty()) {
        return Err(wrong("parameters stand in the body, as a form or in JSON"));
    }
    if !request.headers.contains_key(header::CONTENT_TYPE) && body.body().is_end_stream() {
        return Ok(String::new());
    }
    let form =
        Form::read(&request.headers, body.into_body()).await.map_err(|error| Box::new(no_form(request, &error)))?;
    match form.names().find(|name| *name != AUDIENCE) {
        Some(other) => Err(wrong(&format!("{other} is not a parameter of this page"))),
        None => Ok(form.text(AUDIENCE).to_owned()),
    }
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
