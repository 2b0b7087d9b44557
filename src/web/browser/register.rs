//! `GET /register` and `POST /register`: an account is asked for. It exists once the mail is answered, at `verify`.

use axum::{Router, extract::Request, response::Response, routing::get};

use super::{
    BrowserRequest, BrowserState,
    account_pages::{Untrusted, Wrong},
    answer::Page,
    form::Form as SentForm,
    login::InUrl,
};
use crate::{
    domain::return_path::ReturnPath,
    secret::Password,
    service::{Awaited, FormPurpose, SiteRegistration},
    web::pages::{ErrorKind, Register, View},
};

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/register", get(show).post(submit))
}

/// What was typed, but for the password.
#[derive(Default)]
struct Typed {
    email: String,
    username: String,
}

async fn show(request: BrowserRequest) -> Response {
    if !request.client.config.registration {
        return request.refused(ErrorKind::NotFound);
    }
    match request.waiting_in_url("register") {
        Ok(Some(in_url)) => return request.ask_code(&in_url, Wrong::default()),
        Ok(None) => {}
        Err(answer) => return *answer,
    }
    let in_url = match request.flow_or_new() {
        Ok(in_url) => in_url,
        Err(answer) => return *answer,
    };
    match request.session().await {
        Ok(Some(session)) => request.switch_user(&in_url.flow, &session),
        Ok(None) => page(&request, &in_url, Typed::default(), Wrong::default()),
        Err(error) => request.failed(&error),
    }
}

async fn submit(request: BrowserRequest, body: Request) -> Response {
    if !request.client.config.registration {
        return request.refused(ErrorKind::NotFound);
    }
    let form = match request.form(body).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    let in_url = match request.flow_or_new() {
        Ok(in_url) => in_url,
        Err(answer) => return *answer,
    };
    let typed = Typed { email: form.text("email").to_owned(), username: form.text("username").to_owned() };
    match request.untrusted(&form, FormPurpose::Register, None) {
        Some(Untrusted::Blocked) => return request.cookies_blocked(Some(&in_url.text)),
        Some(Untrusted::Again(wrong)) => return page(&request, &in_url, typed, wrong),
        None => {}
    }
    // The account will be that of the guest whose browser it is.
    match request.session().await {
        Ok(Some(session)) => return request.switch_user(&in_url.flow, &session),
        Ok(None) => {}
        Err(error) => return request.failed(&error),
    }
    send(&request, &form, &in_url, typed).await
}

/// Asks for the account, and goes on to the page that waits for the code.
async fn send(request: &BrowserRequest, form: &SentForm, in_url: &InUrl, typed: Typed) -> Response {
    let at = request.at_site(in_url.flow.return_path().map_or("", ReturnPath::as_str));
    let browser = &request.state.service.site_accounts;
    let registration = SiteRegistration {
        email: typed.email.clone(),
        name: typed.username.clone(),
        password: Password::new(form.text("password").to_owned()),
    };
    let id = browser.account_form(form.text("form"), &request.site, request.visitor.id, request.ctx.now);
    let asked = browser.register(at, &id, registration).await;
    match &*asked {
        Ok(pending) => request.wait_for_mail(at, in_url, Awaited::Register, (pending, &typed.email)),
        Err(error) => request.form_refused(error, |wrong| page(request, in_url, typed, wrong)),
    }
}

fn page(request: &BrowserRequest, in_url: &InUrl, typed: Typed, wrong: Wrong) -> Response {
    let status = wrong.status();
    let form = request.new_account_form(FormPurpose::Register, wrong);
    let view = View::Register(Register { form, email: typed.email, username: typed.username });
    let page = Page::new(view).with_status(status).in_flow(Some(&in_url.text));
    request.page(page.until(in_url.flow.ends_at()))
}
