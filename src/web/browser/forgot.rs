//! `GET /forgot` and `POST /forgot`: a mail with which to choose a new password. Whether there is an account is told to
//! nobody but its owner.

use axum::{Router, extract::Request, response::Response, routing::get};

use super::{
    BrowserRequest, BrowserState,
    account_pages::{Untrusted, Wrong},
    answer::Page,
    login::InUrl,
};
use crate::{
    domain::return_path::ReturnPath,
    service::{Awaited, FormPurpose},
    web::pages::{Forgotten, View},
};

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/forgot", get(show).post(submit))
}

async fn show(request: BrowserRequest) -> Response {
    match request.waiting_in_url("forgot") {
        Ok(Some(in_url)) => return request.ask_code(&in_url, Wrong::default()),
        Ok(None) => {}
        Err(answer) => return *answer,
    }
    match request.flow_or_new() {
        Ok(in_url) => page(&request, &in_url, String::new(), Wrong::default()),
        Err(answer) => *answer,
    }
}

async fn submit(request: BrowserRequest, body: Request) -> Response {
    let form = match request.form(body).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    let in_url = match request.flow_or_new() {
        Ok(in_url) => in_url,
        Err(answer) => return *answer,
    };
    let username = form.text("username").to_owned();
    match request.untrusted(&form, FormPurpose::Forgotten, None) {
        Some(Untrusted::Blocked) => return request.cookies_blocked(Some(&in_url.text)),
        Some(Untrusted::Again(wrong)) => return page(&request, &in_url, username, wrong),
        None => {}
    }
    let at = request.at_site(in_url.flow.return_path().map_or("", ReturnPath::as_str));
    let browser = &request.state.service.site_accounts;
    let id = browser.account_form(form.text("form"), &request.site, request.visitor.id, request.ctx.now);
    let devices = request.cookies.devices();
    match &*browser.forgotten(at, &id, (&username, devices)).await {
        Ok(pending) => request.wait_for_mail(at, &in_url, Awaited::NewPassword, (pending, &username)),
        Err(error) => request.form_refused(error, |wrong| page(&request, &in_url, username, wrong)),
    }
}

fn page(request: &BrowserRequest, in_url: &InUrl, username: String, wrong: Wrong) -> Response {
    let status = wrong.status();
    let form = request.new_account_form(FormPurpose::Forgotten, wrong);
    let view = View::Forgotten(Forgotten { form, username });
    let page = Page::new(view).with_status(status).in_flow(Some(&in_url.text));
    request.page(page.until(in_url.flow.ends_at()))
}
