//! `GET /verify` and `POST /verify`: the link or code of a mail proves an address. In the browser that asked for the mail
//! it completes what was asked for. Elsewhere the reader of the link chooses a password of their own for a new account,
//! and signs in first to give an account another address: a link alone shows neither who asked nor whose account it is.

use axum::{Router, extract::Request, http::StatusCode, response::Response, routing::get};

use super::{
    BrowserRequest, BrowserState,
    account_pages::{Untrusted, WaitingInUrl, Wrong},
    answer::{Page, form_status, retry_after, with_retry_after},
    form::Form as SentForm,
};
use crate::{
    domain::flow::OwnPage,
    error::{Error, Reason},
    secret::{Password, TicketToken, TypedCode},
    service::{
        AccountForm, Awaited, FormPurpose, MailedLink, Me, PresentedTicket, SiteVerification, VerifyOutcome, Whose,
    },
    web::pages::{Field, Hidden, Opened, OpenedKind, Text, Verify, VerifyKind, View},
};

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/verify", get(show).post(submit))
}

/// Programs that look for viruses open links too, so this changes nothing.
async fn show(request: BrowserRequest) -> Response {
    match request.waiting_in_url("login") {
        Ok(Some(in_url)) if in_url.waiting.awaited != Awaited::NewAddress => {
            return request.ask_code(&in_url, Wrong::default());
        }
        Ok(Some(in_url)) => return request.go_to(&request.site.path(&format!("account?w={}", in_url.text))),
        Ok(None) => {}
        Err(answer) => return *answer,
    }
    let (token, done) = match (request.query.get("token"), request.query.get("done")) {
        (Ok(token), Ok(done)) => (token.unwrap_or_default(), done),
        (Err(doubled), _) | (_, Err(doubled)) => return request.bad_parameter(doubled.0),
    };
    let signed_in = match request.me().await {
        Ok(signed_in) => signed_in,
        Err(error) => return request.failed(&error),
    };
    if let (Some(opened), Some((session, _))) = (done.and_then(OpenedKind::parse), &signed_in) {
        return opened_page(&request, opened, session.name());
    }
    let me = signed_in.map(|(_, me)| me);
    page(&request, token, me.as_ref(), (String::new(), Wrong::default())).await
}

/// The page that says what became of an account that is open now.
fn opened_page(request: &BrowserRequest, kind: OpenedKind, signed_in: &str) -> Response {
    let in_url = match request.flow_in_url() {
        Ok(in_url) => in_url,
        Err(answer) => return *answer,
    };
    let continue_to = in_url.map_or_else(|| request.site.home().to_owned(), |in_url| in_url.flow.path(&request.site));
    request.page(Page::new(View::Opened(Opened { kind, signed_in: signed_in.to_owned(), continue_to })))
}

/// The page behind a link.
async fn page(request: &BrowserRequest, token: &str, me: Option<&Me>, (username, wrong): (String, Wrong)) -> Response {
    let found = request.state.service.accounts.mailed_link(request.at_site(""), token, me).await;
    let (link, ends_at) = match found {
        Ok(found) => found,
        Err(Error::Unauthenticated(Reason::CodeInvalid)) => return request.link_is_void("login"),
        Err(error) => return request.failed(&error),
    };
    let (kind, link_kind, email) = match link {
        MailedLink::Register { email, by_asker: true } => (VerifyKind::Register, "register", Some(email)),
        MailedLink::Register { email, by_asker: false } => (VerifyKind::RegisterElsewhere, "register", Some(email)),
        MailedLink::VerifyEmail { email, whose: Whose::Own } => (VerifyKind::Email, "verify_email", Some(email)),
        // Whoever reads a mail that went to a wrong address learns nothing of the account.
        MailedLink::VerifyEmail { whose: Whose::Another, .. } => (VerifyKind::EmailOfAnother, "verify_email", None),
        MailedLink::VerifyEmail { whose: Whose::Unknown, .. } => (VerifyKind::EmailElsewhere, "verify_email", None),
        MailedLink::ChoosePassword { .. } => {
            return request.go_to(&request.site.path(&format!("reset?token={token}")));
        }
    };
    // The way back here, for whoever has to sign in first.
    let flow =
        (kind == VerifyKind::EmailElsewhere).then(|| request.flow_to(OwnPage::Verify { token: token.to_owned() }));
    let status = wrong.status();
    let form = request.new_account_form(FormPurpose::Verify, wrong);
    let (token, link_kind) = (Hidden::new(token), link_kind.to_owned());
    let view = View::Verify(Verify { form, kind, token, link_kind, email, username });
    request.page(Page::new(view).with_status(status).in_flow(flow.as_deref()).until(ends_at))
}

/// What a form presents.
enum Presented {
    Link(String),
    Code(WaitingInUrl),
}

impl Presented {
    /// What the form has; nothing if it has neither a link nor what this browser waits for.
    fn of(request: &BrowserRequest, form: &SentForm) -> Option<Self> {
        let token = form.text("token");
        if !token.is_empty() {
            return Some(Self::Link(token.to_owned()));
        }
        let waiting = request.open_waiting(form.text("form"))?;
        (waiting.waiting.awaited == Awaited::Register).then_some(Self::Code(waiting))
    }

    /// The ticket, and the id of the form.
    fn take(&self, request: &BrowserRequest, form: &SentForm) -> (PresentedTicket, AccountForm) {
        let (browser, visitor) = (&request.state.service.site_accounts, request.visitor.id);
        let (token, ticket, code, id) = match self {
            Self::Link(token) => {
                let id = browser.account_form(form.text("form"), &request.site, visitor, request.ctx.now);
                (token.clone(), String::new(), String::new(), id)
            }
            Self::Code(WaitingInUrl { waiting, .. }) => {
                let id = browser.waiting_form(waiting.form, &request.site, visitor);
                (String::new(), waiting.ticket.clone(), form.text("code").to_owned(), id)
            }
        };
        (PresentedTicket { token: TicketToken::new(token), ticket, code: TypedCode::new(code) }, id)
    }
}

async fn submit(request: BrowserRequest, body: Request) -> Response {
    let form = match request.form(body).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    let Some(presented) = Presented::of(&request, &form) else { return request.start_again("login") };
    let me = match request.me().await {
        Ok(me) => me.map(|(_, me)| me),
        Err(error) => return request.failed(&error),
    };
    let username = form.text("username").to_owned();
    match request.untrusted(&form, FormPurpose::Verify, None) {
        Some(Untrusted::Blocked) => return request.cookies_blocked(None),
        Some(Untrusted::Again(wrong)) => return again(&request, &presented, me.as_ref(), (username, wrong)).await,
        None => {}
    }
    let (ticket, id) = presented.take(&request, &form);
    let new_password = Password::new(form.text("new_password").to_owned());
    let name = Some(username.clone()).filter(|_| !new_password.expose().is_empty());
    let verification = SiteVerification { presented: ticket, new_password, name, without_name: false };
    let return_to = match &presented {
        Presented::Link(_) => "",
        Presented::Code(in_url) => &in_url.waiting.return_to,
    };
    let browser = &request.state.service.site_accounts;
    match browser.verify(request.at_site(return_to), &id, verification, me.as_ref()).await {
        Ok(outcome) => verified(&request, me.is_some(), &outcome),
        Err(error) => refused(&request, &presented, (me.as_ref(), username), &error).await,
    }
}

/// On to where whoever has verified an address was going.
fn verified(request: &BrowserRequest, signed_in: bool, outcome: &VerifyOutcome) -> Response {
    let said = |kind: OpenedKind, return_to: &str| {
        request.go_to(&format!("{}&done={}", request.path_in_new_flow("verify", return_to), kind.as_str()))
    };
    match outcome {
        VerifyOutcome::SignedIn { cookies, return_to, without_name: false } => request.arrive_at(return_to, cookies),
        VerifyOutcome::SignedIn { cookies, return_to, without_name: true } => {
            let mut response = said(OpenedKind::WithoutName, return_to);
            request.set_session_cookies(&mut response, cookies);
            response
        }
        // There are never two accounts in one browser.
        VerifyOutcome::Opened { without_name, .. } if signed_in => {
            said(if *without_name { OpenedKind::AnotherWithoutName } else { OpenedKind::Another }, "")
        }
        VerifyOutcome::Opened { return_to, without_name } => {
            let done = if *without_name { "account_without_name" } else { "account" };
            request.go_to(&format!("{}&done={done}", request.path_in_new_flow("login", return_to)))
        }
        VerifyOutcome::NewAddress => request.go_to(&request.site.path("account?done=email")),
    }
}

async fn refused(
    request: &BrowserRequest,
    presented: &Presented,
    (me, username): (Option<&Me>, String),
    error: &Error,
) -> Response {
    let (status, wrong) = match (error, presented) {
        (Error::Unauthenticated(Reason::CodeInvalid), Presented::Link(_)) => return request.link_is_void("login"),
        (Error::Needs(Reason::OwnTokenRequired), Presented::Link(_)) if me.is_some() => {
            (StatusCode::OK, Wrong::default())
        }
        (Error::Needs(Reason::OwnTokenRequired), Presented::Link(token)) => {
            let own = OwnPage::Verify { token: token.clone() };
            return request.go_to(&request.path_of_sign_in_for(own));
        }
        (Error::Needs(_), _) => (StatusCode::UNPROCESSABLE_ENTITY, Wrong::field(Field::NewPassword, Text::Required)),
        (error, _) => match form_status(error) {
            Some(status) => (status, Wrong::of(error)),
            None => return request.failed(error),
        },
    };
    let mut response = again(request, presented, me, (username, wrong)).await;
    if response.status().is_success() {
        *response.status_mut() = status;
    }
    with_retry_after(response, retry_after(error))
}

async fn again(
    request: &BrowserRequest,
    presented: &Presented,
    me: Option<&Me>,
    (username, wrong): (String, Wrong),
) -> Response {
    match presented {
        Presented::Link(token) => page(request, token, me, (username, wrong)).await,
        Presented::Code(in_url) => request.ask_code(in_url, wrong),
    }
}
