//! What the pages of accounts have in common: forms that are sent again, mails that are waited for, and where they lead.

use axum::{http::StatusCode, response::Response};

use super::{
    BrowserRequest,
    answer::{Page, form_status, retry_after, with_retry_after},
    form::Form as SentForm,
    login::InUrl,
};
use crate::{
    domain::{flow::OwnPage, return_path::ReturnPath},
    error::{Error, Reason},
    service::{AtSite, Awaited, BrowserSession, FormPurpose, Me, NewCookies, PendingTicket, Waiting},
    web::pages::{CodeSent, ErrorKind, ErrorPage, Field, FieldError, Form, Notice, Text, Tone, View, violations},
};

/// What stands before the sealed id of a form that was sent again because no cookie came with it.
const AGAIN: &str = "again.";

/// A form that this browser was not given, or that it sent without its cookies.
pub(super) enum Untrusted {
    /// The form is shown again.
    Again(Wrong),
    /// Cookies do not come back.
    Blocked,
}

/// What is wrong with a form that is shown again.
#[derive(Default)]
pub(super) struct Wrong {
    pub(super) errors: Vec<FieldError>,
    /// Whether no cookie came with it.
    without_cookie: bool,
}

impl Wrong {
    /// A problem of one field.
    pub(super) fn field(field: Field, text: Text) -> Self {
        Self { errors: vec![FieldError { field: Some(field), text }], without_cookie: false }
    }

    /// A problem of the form as a whole.
    pub(super) fn form(text: Text) -> Self {
        Self { errors: vec![FieldError { field: None, text }], without_cookie: false }
    }

    /// What an error says about a form. What is not about a field of its own is said above it.
    pub(super) fn of(error: &Error) -> Self {
        let mut errors = match error {
            Error::Invalid(all) => violations(all, field_of),
            _ => Vec::new(),
        };
        if errors.is_empty() {
            let field = match error {
                Error::Unauthenticated(Reason::CodeInvalid) => Some(Field::Code),
                Error::Exists(field, _) => field_of(field),
                _ => None,
            };
            errors.push(FieldError { field, text: Text::of(error) });
        }
        Self { errors, without_cookie: false }
    }

    /// The status of the form.
    pub(super) fn status(&self) -> StatusCode {
        if self.errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }
    }
}

/// The form's field for a field of the API.
fn field_of(field: &str) -> Option<Field> {
    match field {
        "name" | "login" => Some(Field::Username),
        "emails" => Some(Field::Email),
        other => Field::parse(other),
    }
}

/// A browser that waits for a mail, and the text that this stands in URLs with.
pub(super) struct WaitingInUrl {
    pub(super) waiting: Waiting,
    pub(super) text: String,
}

impl BrowserRequest {
    /// The browser, for the use cases.
    pub(super) fn at_site<'a>(&'a self, return_to: &'a str) -> AtSite<'a> {
        AtSite { ctx: &self.ctx, client: &self.client, visitor: &self.visitor.id, return_to, guest: self.guest.get() }
    }

    /// Nothing if the form is one that this browser was given. An old page or a browser that lost its cookies is to blame
    /// for any other, and not its user.
    pub(super) fn untrusted(
        &self,
        form: &SentForm,
        purpose: FormPurpose,
        session: Option<&BrowserSession>,
    ) -> Option<Untrusted> {
        if self.has_form_token(form.text("csrf"), purpose, session, b"") {
            return None;
        }
        let without_cookie = self.known_visitor.is_none();
        if without_cookie && form.text("form").starts_with(AGAIN) {
            return Some(Untrusted::Blocked);
        }
        let errors = vec![FieldError { field: None, text: Text::TryAgain }];
        Some(Untrusted::Again(Wrong { errors, without_cookie }))
    }

    /// The page that says how to let cookies through.
    pub(super) fn cookies_blocked(&self, flow: Option<&str>) -> Response {
        self.page(Page::new(View::CookiesBlocked).with_status(StatusCode::UNPROCESSABLE_ENTITY).in_flow(flow))
    }

    /// A form with a new id, and what was wrong with the last one.
    pub(super) fn new_account_form(&self, purpose: FormPurpose, wrong: Wrong) -> Form {
        let id = self.state.service.browser.new_form(&self.site, self.visitor.id, self.ctx.now);
        self.account_form_with(purpose, id, wrong)
    }

    /// A form with this sealed state.
    pub(super) fn account_form_with(&self, purpose: FormPurpose, sealed: String, wrong: Wrong) -> Form {
        let Wrong { errors, without_cookie } = wrong;
        let sealed = if without_cookie { format!("{AGAIN}{sealed}") } else { sealed };
        let mut form = Form::new(self.form_token(purpose, None, b"")).sealed(sealed);
        form.errors = errors;
        form
    }

    /// The flow in the URL, or a new one for `return_to`.
    pub(super) fn flow_or_new(&self) -> Result<InUrl, Box<Response>> {
        if let Some(in_url) = self.flow_in_url()? {
            return Ok(in_url);
        }
        let return_to = self.query.get("return_to").map_err(|doubled| Box::new(self.bad_parameter(doubled.0)))?;
        let flow = self.begin_flow(return_to);
        let text = self.state.service.browser.seal_flow(&flow);
        Ok(InUrl { flow, text })
    }

    /// A page of this site's own, in a new flow that leads to a path; the site's home if that is empty.
    pub(super) fn path_in_new_flow(&self, page: &str, return_to: &str) -> String {
        let flow = self.begin_flow(Some(return_to).filter(|path| !path.is_empty()));
        self.site.path(&format!("{page}?r={}", self.state.service.browser.seal_flow(&flow)))
    }

    /// The sign-in page, on the way to another page of this site's own.
    pub(super) fn path_of_sign_in_for(&self, own: OwnPage) -> String {
        self.site.path(&format!("login?r={}", self.flow_to(own)))
    }

    /// The sealed state of a flow that leads to a page of this site's own.
    pub(super) fn flow_to(&self, own: OwnPage) -> String {
        self.state.service.browser.seal_flow(&self.begin_flow(None).leading_to(own))
    }

    /// What this browser waits for, as the URL says. What is too old, or of another browser, begins again at a page.
    pub(super) fn waiting_in_url(&self, begins_at: &str) -> Result<Option<WaitingInUrl>, Box<Response>> {
        let text = self.query.get("w").map_err(|doubled| Box::new(self.bad_parameter(doubled.0)))?;
        let Some(text) = text else { return Ok(None) };
        self.open_waiting(text).map(Some).ok_or_else(|| Box::new(self.start_again(begins_at)))
    }

    /// What this browser waits for.
    pub(super) fn open_waiting(&self, text: &str) -> Option<WaitingInUrl> {
        let text = text.strip_prefix(AGAIN).unwrap_or(text);
        let visitor = self.known_visitor.as_ref()?;
        let waiting = self.state.service.accounts.open_waiting(text, &self.site, &visitor.id)?;
        Some(WaitingInUrl { waiting, text: text.to_owned() })
    }

    /// The same form again with what is wrong, after an error that its sender can do something about; the error page
    /// after any other.
    pub(super) fn form_refused(&self, error: &Error, form: impl FnOnce(Wrong) -> Response) -> Response {
        let Some(status) = form_status(error) else { return self.failed(error) };
        let mut response = form(Wrong::of(error));
        *response.status_mut() = status;
        with_retry_after(response, retry_after(error))
    }

    /// On to the page that waits for the code of a mail, which was sent to `to`.
    pub(super) fn wait_for_mail(
        &self,
        at: AtSite<'_>,
        in_url: &InUrl,
        awaited: Awaited,
        (pending, to): (&PendingTicket, &str),
    ) -> Response {
        let page = if awaited == Awaited::NewPassword { "forgot" } else { "register" };
        match self.state.service.accounts.seal_waiting(at, awaited, (pending.ticket.clone(), to)) {
            Ok(w) => self.go_to(&self.site.path(&format!("{page}?r={}&w={w}", in_url.text))),
            Err(error) => self.failed(&error),
        }
    }

    /// The page that asks for the code of a mail.
    pub(super) fn ask_code(&self, in_url: &WaitingInUrl, wrong: Wrong) -> Response {
        let WaitingInUrl { waiting, text } = in_url;
        let status = wrong.status();
        let to = waiting.to.clone();
        let new_password = waiting.awaited == Awaited::NewPassword;
        let purpose = if new_password { FormPurpose::Reset } else { FormPurpose::Verify };
        let sent = CodeSent { form: self.account_form_with(purpose, text.clone(), wrong), to };
        let view = if new_password { View::ForgottenSent(sent) } else { View::RegisterSent(sent) };
        let flow = self.query.get("r").ok().flatten();
        self.page(Page::new(view).with_status(status).in_flow(flow).until(waiting.ends_at))
    }

    /// The page for a link that is of no use, with a way to get another.
    pub(super) fn link_is_void(&self, retry: &str) -> Response {
        let request_id = self.ctx.request_id.to_string();
        let view = View::Error(ErrorPage {
            kind: ErrorKind::Link,
            parameter: Some("token".to_owned()),
            detail: Some(Text::LinkInvalid),
            request_id,
            retry: Some(self.site.path(retry)),
        });
        self.page(Page::new(view).with_status(StatusCode::BAD_REQUEST))
    }

    /// The account that is signed in here, if one is.
    pub(super) async fn me(&self) -> Result<Option<(BrowserSession, Me)>, Error> {
        let Some(session) = self.session().await? else { return Ok(None) };
        let callers = &self.state.service.callers;
        match callers.me_of_session(&self.ctx, &session.id, &session.subject).await {
            Ok(me) => Ok(Some((session, me))),
            Err(Error::TokenRevoked | Error::Unauthenticated(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends the browser to where its user was going, signed in.
    pub(super) fn arrive_at(&self, return_to: &str, cookies: &NewCookies) -> Response {
        let path = ReturnPath::parse(return_to, &self.site);
        let mut response = self.go_to(path.as_ref().map_or(self.site.home(), ReturnPath::as_str));
        self.set_session_cookies(&mut response, cookies);
        response
    }

    /// What was done on the way to the sign-in page.
    pub(super) fn done_notice(&self) -> Option<Notice> {
        let text = match self.query.get("done").ok().flatten()? {
            "reset" => Text::PasswordReset,
            "account" => Text::AccountCreated,
            "account_without_name" => Text::AccountCreatedWithoutName,
            _ => return None,
        };
        Some(Notice::new(Tone::Done, text))
    }

    /// Adds the cookies of a session that was just opened.
    pub(super) fn set_session_cookies(&self, response: &mut Response, cookies: &NewCookies) {
        let names = self.cookies.names();
        let headers = response.headers_mut();
        names.session(&cookies.cookie, cookies.expires_at, self.ctx.now).add_to(headers);
        if let Some(devices) = &cookies.devices {
            names.devices(devices).add_to(headers);
        }
    }
}
