//! `GET /logout` asks, `POST /logout` signs out. Whoever has no session is signed out already.

use axum::{Router, extract::Request, http::StatusCode, response::Response, routing::get};

use super::{BrowserRequest, BrowserState, answer::Page, cookies::CookieKind};
use crate::{
    domain::return_path::ReturnPath,
    service::BrowserSession,
    service::FormPurpose,
    web::pages::{FieldError, Form, LoggingOut, SignedOut, Text, View},
};

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/logout", get(show).post(submit))
}

async fn show(request: BrowserRequest) -> Response {
    let return_to = match request.query.get("return_to") {
        Ok(return_to) => path(&request, return_to.unwrap_or_default()),
        Err(doubled) => return request.bad_parameter(doubled.0),
    };
    match request.any_session().await {
        Ok(Some(session)) => question(&request, &session, return_to, None),
        Ok(None) => signed_out(&request, return_to),
        Err(error) => request.failed(&error),
    }
}

async fn submit(request: BrowserRequest, body: Request) -> Response {
    let form = match request.form(body).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    let return_to = path(&request, form.text("return_to"));
    let session = match request.any_session().await {
        Ok(Some(session)) => session,
        Ok(None) => return signed_out(&request, return_to),
        Err(error) => return request.failed(&error),
    };
    let decided = return_to.as_deref().unwrap_or_default();
    if !request.has_form_token(form.text("csrf"), FormPurpose::SignOut, Some(&session), decided.as_bytes()) {
        return question(&request, &session, return_to, Some(Text::TryAgain));
    }
    match request.state.service.browser.sign_out(&request.ctx, &session).await {
        Ok(()) => signed_out(&request, return_to),
        Err(error) => request.failed(&error),
    }
}

/// A path that may be gone on to.
fn path(request: &BrowserRequest, text: &str) -> Option<String> {
    ReturnPath::parse(text, &request.site).map(|path| path.as_str().to_owned())
}

fn question(
    request: &BrowserRequest,
    session: &BrowserSession,
    return_to: Option<String>,
    wrong: Option<Text>,
) -> Response {
    let decided = return_to.as_deref().unwrap_or_default();
    let mut form = Form::new(request.form_token(FormPurpose::SignOut, Some(session), decided.as_bytes()));
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    form.errors.extend(wrong.map(|text| FieldError { field: None, text }));
    let view = View::LoggingOut(LoggingOut { form, name: session.name().to_owned(), return_to });
    request.page(Page::new(view).with_status(status).until(session.idle_expires_at()))
}

/// "Signed out". The cookie of the session ends; those of the application and of other sites are not touched.
fn signed_out(request: &BrowserRequest, return_to: Option<String>) -> Response {
    let mut response = request.page(Page::new(View::SignedOut(SignedOut { everywhere: false, return_to })));
    let cookies = &request.cookies;
    if cookies.session().is_some() && !request.has_dead_session() {
        cookies.names().expired(CookieKind::Session).add_to(response.headers_mut());
    }
    response
}
