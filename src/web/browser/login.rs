//! `GET /login` and `POST /login`: the first page of a sign-in, the state "ask". Its whole state stands sealed in the URL,
//! so that nothing is stored for it: a reload, "back" and a second tab work because nothing is used up.

use axum::{Router, extract::Request, http::StatusCode, response::Response, routing::get};

use super::{
    BrowserRequest, BrowserState,
    answer::{Page, form_status, retry_after, with_retry_after},
    form::Form as SentForm,
};
use crate::{
    domain::{
        assurance::{acr_is_reachable, acr_needs_two_factors},
        flow::{FlowState, Required},
    },
    error::Error,
    id::TicketId,
    secret::{DeviceToken, PasskeyResponse, Password},
    service::FormPurpose,
    service::{
        BrowserSession, FoundFlow, NewCookies, PasskeyForm, SignInForm, SignInOutcome, lacks_second_factor, suffices,
    },
    time::Ttl,
    web::pages::{Field, FieldError, Form, Notice, SignIn, StartAgain, SwitchUser, Text, View, violations},
};

/// What stands before the sealed id of a form that was sent again because no cookie came with it.
const AGAIN: &str = "again.";

/// The level that a sign-in must have, and how long ago it may have been: parameters of the page.
const ACR: &str = "acr";
const MAX_AGE: &str = "max_age";

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/login", get(show).post(submit))
}

/// A flow, and the text that it stands in URLs with.
pub(super) struct InUrl {
    pub(super) flow: FlowState,
    pub(super) text: String,
}

/// What a sign-in form shows besides its fields.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) username: String,
    pub(super) shared: bool,
    pub(super) errors: Vec<FieldError>,
    pub(super) notice: Option<Notice>,
    /// Whether no cookie came with the form that this one replaces.
    pub(super) without_cookie: bool,
    /// Whether the form that this one replaces came with a passkey.
    pub(super) by_passkey: bool,
}

async fn show(request: BrowserRequest) -> Response {
    match request.flow_in_url() {
        Ok(Some(in_url)) if !can_be_met(&in_url.flow) => request.bad_parameter(ACR),
        Ok(Some(in_url)) => match way_on(&request, &in_url).await {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let notice = request.done_notice();
                request.ask(StatusCode::OK, &in_url, Asked { notice, ..Asked::default() })
            }
            Err(error) => request.failed(&error),
        },
        Ok(None) => begin(&request).await,
        Err(answer) => onward_or(&request, *answer).await,
    }
}

/// Whether anybody can sign in as strongly as the flow asks for. Nobody is sent in a circle.
fn can_be_met(flow: &FlowState) -> bool {
    flow.required().acr.as_deref().is_none_or(acr_is_reachable)
}

/// Where a browser goes on that is signed in: to where it was going or, if its session lacks a second factor alone, to
/// the step that asks for it. Nothing if the password is needed.
async fn way_on(request: &BrowserRequest, in_url: &InUrl) -> Result<Option<Response>, Error> {
    let Some(session) = request.session().await? else { return Ok(None) };
    if suffices(&session, &in_url.flow) {
        return Ok(Some(request.arrive(&in_url.flow)));
    }
    let step = step_up(request, &session, in_url).await?;
    Ok(step.map(|id| request.go_to(&request.site.path(&format!("step/{id}?r={}", in_url.text)))))
}

/// The step that asks for what a session lacks, if that is a second factor alone.
pub(super) async fn step_up(
    request: &BrowserRequest,
    session: &BrowserSession,
    in_url: &InUrl,
) -> Result<Option<TicketId>, Error> {
    // The step is this browser's alone, so its cookies must have come back.
    let Some(visitor) = request.known_visitor.as_ref().filter(|_| lacks_second_factor(session, &in_url.flow)) else {
        return Ok(None);
    };
    let (of, who) = ((&*request.client, &request.site), (&visitor.id, session));
    request.state.service.browser.step_up(&request.ctx, of, who, (&in_url.text, request.devices())).await
}

/// The answer where the flow in the URL cannot go on, unless its user is signed in: on to where it was going, or home if
/// this server has not sealed it.
async fn onward_or(request: &BrowserRequest, answer: Response) -> Response {
    let Some(text) = request.query.get("r").ok().flatten() else { return answer };
    let (browser, of) = (&request.state.service.browser, (&*request.client, &request.site));
    let flow = match browser.open_flow(text, of, request.ctx.now) {
        FoundFlow::Open(flow) | FoundFlow::Over(flow) => flow,
        FoundFlow::Unknown => request.begin_flow(None),
    };
    match request.session().await {
        Ok(Some(session)) if suffices(&session, &flow) => request.arrive(&flow),
        Ok(_) => answer,
        Err(error) => request.failed(&error),
    }
}

/// Seals what was asked for into the URL. The page behind it, not this redirect, sends cookies.
async fn begin(request: &BrowserRequest) -> Response {
    let return_to = match request.query.get("return_to") {
        Ok(return_to) => return_to,
        Err(doubled) => return request.bad_parameter(doubled.0),
    };
    let required = match required(request) {
        Ok(required) => required,
        Err(name) => return request.bad_parameter(name),
    };
    let browser = &request.state.service.browser;
    let flow = request.begin_flow(return_to).requiring(required);
    match request.session().await {
        Ok(Some(session)) if suffices(&session, &flow) => request.arrive(&flow),
        Ok(_) => request.go_to(&request.site.path(&format!("login?r={}", browser.seal_flow(&flow)))),
        Err(error) => request.failed(&error),
    }
}

/// What a link to the page asks for beyond a session. Whoever changes the link can only ask for more.
fn required(request: &BrowserRequest) -> Result<Required, &'static str> {
    let parameter = |name| request.query.get(name).map(|text| text.filter(|text| !text.is_empty())).map_err(|_| name);
    let acr = parameter(ACR)?.map(|text| if acr_is_reachable(text) { Ok(text.to_owned()) } else { Err(ACR) });
    let seconds = parameter(MAX_AGE)?.map(|text| text.parse::<u32>().map_err(|_| MAX_AGE)).transpose()?;
    Ok(Required { acr: acr.transpose()?, max_age: seconds.map(|age| Ttl::from_secs(age.into())), prompt: None })
}

async fn submit(request: BrowserRequest, body: Request) -> Response {
    let form = match request.form(body).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    let in_url = match request.flow_in_url() {
        Ok(Some(in_url)) => in_url,
        Ok(None) => return request.start_again("login"),
        Err(answer) => return onward_or(&request, *answer).await,
    };
    let asked = Asked {
        username: form.text("username").to_owned(),
        shared: !form.text("shared_computer").is_empty(),
        by_passkey: form.has("passkey_response"),
        ..Asked::default()
    };
    if let Some(answer) = check_token(&request, &form, &in_url, &asked) {
        return answer;
    }
    let present = match already_signed_in(&request, &in_url.flow, &asked).await {
        Ok(Present::Answered(answer)) => return answer,
        Ok(Present::Replaceable(session)) => Some(session),
        Ok(Present::Nothing) => None,
        Err(error) => return refused(&request, &error, &in_url, asked),
    };
    send(&request, &form, &in_url, asked, present).await
}

/// Signs in with what was typed, or with a passkey.
async fn send(
    request: &BrowserRequest,
    form: &SentForm,
    in_url: &InUrl,
    asked: Asked,
    present: Option<BrowserSession>,
) -> Response {
    let sent = form.text("form");
    let sent = sent.strip_prefix(AGAIN).unwrap_or(sent).to_owned();
    let (visitor, flow, shared) = (request.visitor.id, in_url.text.clone(), asked.shared);
    let two_factors = in_url.flow.required().acr.as_deref().is_some_and(acr_needs_two_factors);
    let of = (&*request.client, &request.site);
    let browser = &request.state.service.browser;
    if asked.by_passkey {
        let response = PasskeyResponse::new(form.text("passkey_response").to_owned());
        let present_now = present.clone();
        let submitted = PasskeyForm { visitor, form: sent, flow, response, shared, two_factors, present: present_now };
        let outcome = browser.sign_in_with_passkey(&request.ctx, of, submitted).await;
        let refused = matches!(&*outcome, Err(Error::Unauthenticated(_)));
        let fault = if refused { Some(Text::PasskeyRefused) } else { None };
        return answer(request, in_url, asked, present, (&outcome, fault));
    }
    let submitted = SignInForm {
        visitor,
        form: sent,
        flow,
        login: asked.username.clone(),
        password: Password::new(form.text("password").to_owned()),
        shared,
        two_factors,
        devices: request.devices(),
        present: present.clone(),
    };
    let outcome = browser.sign_in(&request.ctx, of, submitted).await;
    answer(request, in_url, asked, present, (&outcome, None))
}

/// What a browser is told about a form that was sent. `fault` words a refusal in place of its error.
fn answer(
    request: &BrowserRequest,
    in_url: &InUrl,
    mut asked: Asked,
    present: Option<BrowserSession>,
    (outcome, fault): (&Result<SignInOutcome, Error>, Option<Text>),
) -> Response {
    match (outcome, fault) {
        (Ok(SignInOutcome::SignedIn(cookies)), _) => request.arrive_with(&in_url.flow, cookies),
        (Ok(SignInOutcome::Step(id)), _) => request.go_to(&request.site.path(&format!("step/{id}?r={}", in_url.text))),
        (Ok(SignInOutcome::AnotherUser), _) if let Some(session) = &present => {
            request.switch_user(&in_url.flow, session)
        }
        (Ok(SignInOutcome::FormUnusable | SignInOutcome::AnotherUser), _) => {
            asked.errors.push(FieldError { field: None, text: Text::TryAgain });
            request.ask(StatusCode::UNPROCESSABLE_ENTITY, in_url, asked)
        }
        (Err(_), Some(text)) => {
            asked.errors.push(FieldError { field: None, text });
            request.ask(StatusCode::UNPROCESSABLE_ENTITY, in_url, asked)
        }
        (Err(error), None) => refused(request, error, in_url, asked),
    }
}

/// The form again, unless its token is the one that this browser was given: never an error, because an old page or a
/// browser that lost its cookies is to blame, and not its user.
fn check_token(request: &BrowserRequest, form: &SentForm, in_url: &InUrl, asked: &Asked) -> Option<Response> {
    if request.has_form_token(form.text("csrf"), FormPurpose::SignIn, None, b"") {
        return None;
    }
    let without_cookie = request.known_visitor.is_none();
    if without_cookie && form.text("form").starts_with(AGAIN) {
        let page = Page::new(View::CookiesBlocked).with_status(StatusCode::UNPROCESSABLE_ENTITY);
        return Some(request.page(page.in_flow(Some(&in_url.text))));
    }
    let again = Asked {
        username: asked.username.clone(),
        shared: asked.shared,
        errors: vec![FieldError { field: None, text: Text::TryAgain }],
        notice: None,
        without_cookie,
        by_passkey: asked.by_passkey,
    };
    Some(request.ask(StatusCode::UNPROCESSABLE_ENTITY, in_url, again))
}

/// What a browser that sends a sign-in form has already.
enum Present {
    Nothing,
    /// A session that is not all that the flow asks for, of the user who is named, or a guest's; or any, if it is a passkey
    /// that names the user. The new one of the same user replaces it.
    Replaceable(BrowserSession),
    /// Nobody needs to sign in.
    Answered(Response),
}

/// What becomes of a form from a browser that is signed in: on to where this tab was going or, for another user, a
/// choice. There are never two accounts in one browser.
async fn already_signed_in(request: &BrowserRequest, flow: &FlowState, asked: &Asked) -> Result<Present, Error> {
    let Some(session) = request.any_session().await? else { return Ok(Present::Nothing) };
    // Whose a passkey is only its check tells.
    if session.is_guest() || asked.by_passkey {
        return Ok(Present::Replaceable(session));
    }
    let username = &asked.username;
    let same = username.is_empty() || request.state.service.browser.is_login_of(&session, username).await?;
    Ok(match (same, suffices(&session, flow)) {
        (false, _) => Present::Answered(request.switch_user(flow, &session)),
        (true, true) => Present::Answered(request.arrive(flow)),
        (true, false) => Present::Replaceable(session),
    })
}

/// The form with what is wrong, as far as its user can do something about it.
fn refused(request: &BrowserRequest, error: &Error, in_url: &InUrl, mut asked: Asked) -> Response {
    let Some(status) = form_status(error) else { return request.failed(error) };
    asked.errors = errors(error);
    with_retry_after(request.ask(status, in_url, asked), retry_after(error))
}

/// What is wrong with a form. What is not about a field of its own is said above it.
pub(super) fn errors(error: &Error) -> Vec<FieldError> {
    match error {
        Error::Invalid(wrong) => violations(wrong, Field::parse),
        other => vec![FieldError { field: None, text: Text::of(other) }],
    }
}

impl BrowserRequest {
    /// The tokens of the devices that this browser was signed in on.
    fn devices(&self) -> Vec<DeviceToken> {
        self.cookies.devices().iter().map(|token| DeviceToken::new(token.expose().to_owned())).collect()
    }

    /// The flow in the URL. One that is too old, or of another site, is answered by a page that begins again.
    pub(super) fn flow_in_url(&self) -> Result<Option<InUrl>, Box<Response>> {
        let text = self.query.get("r").map_err(|doubled| Box::new(self.bad_parameter(doubled.0)))?;
        let Some(text) = text else { return Ok(None) };
        match self.open_flow(text) {
            Some(in_url) => Ok(Some(in_url)),
            None => Err(Box::new(self.start_again_in(text, "login"))),
        }
    }

    /// A flow that can go on.
    pub(super) fn open_flow(&self, text: &str) -> Option<InUrl> {
        let of = (&*self.client, &self.site);
        match self.state.service.browser.open_flow(text, of, self.ctx.now) {
            FoundFlow::Open(flow) => Some(InUrl { flow, text: text.to_owned() }),
            FoundFlow::Over(_) | FoundFlow::Unknown => None,
        }
    }

    /// "Start again" at a page, on the way that the flow in the URL leads.
    pub(super) fn start_again(&self, page: &str) -> Response {
        self.start_again_in(self.query.get("r").ok().flatten().unwrap_or_default(), page)
    }

    /// "Start again" at a page, on the way that a flow has led, even one that is too old; from the application if that
    /// is unknown.
    pub(super) fn start_again_in(&self, flow: &str, page: &str) -> Response {
        let browser = &self.state.service.browser;
        let flow = match browser.open_flow(flow, (&self.client, &self.site), self.ctx.now) {
            FoundFlow::Open(flow) | FoundFlow::Over(flow) => Some(browser.seal_flow(&flow.begun_at(self.ctx.now))),
            FoundFlow::Unknown => None,
        };
        let continue_to = flow.map(|r| self.site.path(&format!("{page}?r={r}")));
        self.page(Page::new(View::StartAgain(StartAgain { continue_to })).with_status(StatusCode::BAD_REQUEST))
    }

    /// The sign-in form. Its id is new each time, and nothing is stored for it.
    pub(super) fn ask(&self, status: StatusCode, in_url: &InUrl, asked: Asked) -> Response {
        let Asked { username, shared, errors, notice, without_cookie, by_passkey } = asked;
        let id = self.state.service.browser.new_form(&self.site, self.visitor.id, self.ctx.now);
        let passkey = self.state.service.browser.passkey_options(&self.client, &id);
        let id = if without_cookie { format!("{AGAIN}{id}") } else { id };
        let mut form = Form::new(self.form_token(FormPurpose::SignIn, None, b"")).sealed(id);
        form.errors = errors;
        let view = View::SignIn(SignIn { form, username, shared_computer: shared, passkey, passkey_sent: by_passkey });
        let page = Page::new(view).with_status(status).in_flow(Some(&in_url.text)).with_notice(notice);
        self.page(page.until(in_url.flow.ends_at()))
    }

    /// Whether passkeys can be made and used at this site.
    pub(super) fn has_passkeys(&self) -> bool {
        self.state.service.browser.has_passkeys(&self.client)
    }

    /// The only host at which passkeys of this site work, where there are sites of other hosts.
    pub(super) fn only_host_of_passkeys(&self) -> Option<String> {
        self.state.service.browser.only_host_of_passkeys(&self.client)
    }

    /// "Continue as …, or sign out first".
    pub(super) fn switch_user(&self, flow: &FlowState, session: &BrowserSession) -> Response {
        let return_to = flow.return_path().map(|path| path.as_str().to_owned());
        let decided = return_to.clone().unwrap_or_default();
        let form = Form::new(self.form_token(FormPurpose::SignOut, Some(session), decided.as_bytes()));
        let continue_to = flow.destination(&self.site);
        let view = View::SwitchUser(SwitchUser { form, name: session.name().to_owned(), continue_to, return_to });
        self.page(Page::new(view).until(session.idle_expires_at()))
    }

    /// Sends the browser to where the flow leads.
    pub(super) fn arrive(&self, flow: &FlowState) -> Response {
        self.go_to(&flow.path(&self.site))
    }

    /// Sends the browser to where the flow leads, signed in.
    pub(super) fn arrive_with(&self, flow: &FlowState, cookies: &NewCookies) -> Response {
        let mut response = self.arrive(flow);
        self.set_session_cookies(&mut response, cookies);
        response
    }
}
