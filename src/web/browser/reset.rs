//! `GET /reset` and `POST /reset`: a new password, with the link or the code of a mail. It opens no session: the user
//! signs in with the new password, which shows that it was kept.

use axum::{Router, extract::Request, http::StatusCode, response::Response, routing::get};

use super::{
    BrowserRequest, BrowserState,
    account_pages::{Untrusted, WaitingInUrl, Wrong},
    answer::Page,
};
use crate::{
    error::{Error, Reason},
    secret::{Password, TicketToken, TypedCode},
    service::{Awaited, FormPurpose, MailedLink, PresentedTicket},
    time::Timestamp,
    web::pages::{Hidden, ResetPassword, View},
};

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/reset", get(show).post(submit))
}

/// Programs that look for viruses open links too, so this changes nothing.
async fn show(request: BrowserRequest) -> Response {
    match request.waiting_in_url("forgot") {
        Ok(Some(in_url)) => return request.ask_code(&in_url, Wrong::default()),
        Ok(None) => {}
        Err(answer) => return *answer,
    }
    let token = match request.query.get("token") {
        Ok(token) => token.unwrap_or_default(),
        Err(doubled) => return request.bad_parameter(doubled.0),
    };
    match request.state.service.accounts.mailed_link(request.at_site(""), token, None).await {
        Ok((MailedLink::ChoosePassword { .. }, ends_at)) => page(&request, token, Some(ends_at), Wrong::default()),
        Ok((MailedLink::Register { .. } | MailedLink::VerifyEmail { .. }, _)) => {
            request.go_to(&request.site.path(&format!("verify?token={token}")))
        }
        Err(Error::Unauthenticated(Reason::CodeInvalid)) => request.link_is_void("forgot"),
        Err(error) => request.failed(&error),
    }
}

/// What a form presents.
enum Presented {
    Link(String),
    Code(WaitingInUrl),
}

async fn submit(request: BrowserRequest, body: Request) -> Response {
    let form = match request.form(body).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    let token = form.text("token");
    let presented = if token.is_empty() {
        match request.open_waiting(form.text("form")).filter(|w| w.waiting.awaited == Awaited::NewPassword) {
            Some(in_url) => Presented::Code(in_url),
            None => return request.start_again("forgot"),
        }
    } else {
        Presented::Link(token.to_owned())
    };
    match request.untrusted(&form, FormPurpose::Reset, None) {
        Some(Untrusted::Blocked) => return request.cookies_blocked(None),
        Some(Untrusted::Again(wrong)) => return again(&request, &presented, wrong),
        None => {}
    }
    let (browser, visitor) = (&request.state.service.site_accounts, request.visitor.id);
    let (id, ticket, return_to) = match &presented {
        Presented::Link(_) => {
            let id = browser.account_form(form.text("form"), &request.site, visitor, request.ctx.now);
            (id, String::new(), String::new())
        }
        Presented::Code(WaitingInUrl { waiting, .. }) => {
            let id = browser.waiting_form(waiting.form, &request.site, visitor);
            (id, waiting.ticket.clone(), waiting.return_to.clone())
        }
    };
    let code = if ticket.is_empty() { String::new() } else { form.text("code").to_owned() };
    let ticket = PresentedTicket { token: TicketToken::new(token.to_owned()), ticket, code: TypedCode::new(code) };
    let password = Password::new(form.text("new_password").to_owned());
    match &*browser.reset(request.at_site(&return_to), &id, (ticket, password)).await {
        Ok(done) => {
            let return_to = if return_to.is_empty() { done.return_to.as_str() } else { &return_to };
            request.go_to(&format!("{}&done=reset", request.path_in_new_flow("login", return_to)))
        }
        Err(error) => refused(&request, &presented, error),
    }
}

fn refused(request: &BrowserRequest, presented: &Presented, error: &Error) -> Response {
    if let (Presented::Link(_), Error::Unauthenticated(Reason::CodeInvalid)) = (presented, error) {
        return request.link_is_void("forgot");
    }
    request.form_refused(error, |wrong| again(request, presented, wrong))
}

fn again(request: &BrowserRequest, presented: &Presented, wrong: Wrong) -> Response {
    match presented {
        Presented::Link(token) => page(request, token, None, wrong),
        Presented::Code(in_url) => request.ask_code(in_url, wrong),
    }
}

/// The form. When its link becomes too old is known where the link was looked up.
fn page(request: &BrowserRequest, token: &str, ends_at: Option<Timestamp>, wrong: Wrong) -> Response {
    let status: StatusCode = wrong.status();
    let form = request.new_account_form(FormPurpose::Reset, wrong);
    let page = Page::new(View::ResetPassword(ResetPassword { form, token: Hidden::new(token) })).with_status(status);
    request.page(page.until(ends_at))
}
