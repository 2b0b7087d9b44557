//! `GET /step/{id}` and `POST /step/{id}`: the state "step", between a correct password and a session.

use axum::{
    Router,
    extract::{Path, Request},
    http::StatusCode,
    response::Response,
    routing::get,
};

use super::{
    BrowserRequest, BrowserState,
    answer::{Page, form_status, retry_after, with_retry_after},
    form::Form as SentForm,
    login::{Asked, InUrl, errors, step_up},
};
use crate::{
    domain::{factor::FactorKind, qr_code},
    error::Error,
    id::TicketId,
    secret::{PasskeyResponse, Password, TypedCode},
    service::FormPurpose,
    service::{BrowserSession, PageStep, StepAtPage, StepField, StepTaken, StepTyped, StepsEnd, TotpSetup, suffices},
    web::pages::{ErrorKind, Field, FieldError, Form, Notice, ShownOnce, Step, StepKind, Text, Tone, View},
};

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/step/{id}", get(show).post(submit))
}

/// What the page says about how it was come to.
const NOTICE: &str = "notice";
const MOVED: &str = "moved";
const RESENT: &str = "resent";

/// What a step shows besides its fields.
#[derive(Default)]
struct Shown {
    status: StatusCode,
    errors: Vec<FieldError>,
    notice: Option<Notice>,
    /// What was typed as address.
    email: Option<String>,
}

async fn show(request: BrowserRequest, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<TicketId>() else { return request.refused(ErrorKind::NotFound) };
    if let Err(answer) = leave_if_signed_in(&request, &id).await {
        return *answer;
    }
    match request.state.service.browser.step(&request.client, &id, request.visitor_id()).await {
        Ok(PageStep::Next(step)) => {
            let notice = notice_of(&request, &step);
            page(&request, &id, &step, Shown { notice, ..Shown::default() })
        }
        Ok(PageStep::Over { login, flow, end }) => over(&request, &id, (login, &flow), end).await,
        Ok(PageStep::Nothing) => ask_anew(&request),
        Err(error) => request.failed(&error),
    }
}

/// The session that the browser has, which does not suffice. One that does, from another tab perhaps, is an answer: on to
/// where this tab was going or, if it is not that of the step's user, a choice.
async fn leave_if_signed_in(request: &BrowserRequest, id: &TicketId) -> Result<Option<BrowserSession>, Box<Response>> {
    let session = request.any_session().await.map_err(|error| Box::new(request.failed(&error)))?;
    let in_url = request.query.get("r").ok().flatten().and_then(|text| request.open_flow(text));
    match (&session, in_url) {
        (Some(session), Some(in_url)) if !session.is_guest() && suffices(session, &in_url.flow) => {
            let other = is_step_of_another(request, id, session).await;
            let other = other.map_err(|error| Box::new(request.failed(&error)))?;
            let flow = &in_url.flow;
            Err(Box::new(if other { request.switch_user(flow, session) } else { request.arrive(flow) }))
        }
        _ => Ok(session),
    }
}

/// Whether the step is still to be taken, and by somebody else than the user of the session.
async fn is_step_of_another(request: &BrowserRequest, id: &TicketId, session: &BrowserSession) -> Result<bool, Error> {
    let browser = &request.state.service.browser;
    match browser.step(&request.client, id, request.visitor_id()).await? {
        PageStep::Next(step) => Ok(!browser.is_login_of(session, &step.login).await?),
        PageStep::Over { .. } | PageStep::Nothing => Ok(false),
    }
}

/// What a redirect to the page has to say.
fn notice_of(request: &BrowserRequest, step: &StepAtPage) -> Option<Notice> {
    match (request.query.get(NOTICE).ok().flatten()?, &step.field) {
        (MOVED, _) => Some(Notice::new(Tone::Info, Text::StepMoved)),
        (RESENT, StepField::Code { sent_to }) => {
            Some(Notice::new(Tone::Done, Text::CodeResent { email: sent_to.clone() }))
        }
        _ => None,
    }
}

/// The first page again, in the same flow, or the step that a session of this browser needs now: another tab may have set
/// a second factor up.
async fn over(request: &BrowserRequest, id: &TicketId, (username, flow): (String, &str), end: StepsEnd) -> Response {
    let Some(in_url) = request.open_flow(flow) else { return request.start_again_in(flow, "login") };
    if end == StepsEnd::AccountChanged {
        match next_step_up(request, &in_url).await {
            Ok(Some(next)) if next != *id => return to_step(request, &next, Some(MOVED)),
            Ok(_) => {}
            Err(error) => return request.failed(&error),
        }
    }
    let text = if end == StepsEnd::CodesUsedUp { Text::CodesUsedUp } else { Text::SignInExpired };
    let notice = Some(Notice::new(Tone::Info, text));
    request.ask(StatusCode::OK, &in_url, Asked { username, notice, ..Asked::default() })
}

/// The step that asks for what the session of this browser lacks, if that is a second factor alone.
async fn next_step_up(request: &BrowserRequest, in_url: &InUrl) -> Result<Option<TicketId>, Error> {
    let Some(session) = request.session().await? else { return Ok(None) };
    step_up(request, &session, in_url).await
}

/// The first page, for a browser that may know nothing of the step.
fn ask_anew(request: &BrowserRequest) -> Response {
    let in_url = request.query.get("r").ok().flatten().and_then(|text| request.open_flow(text));
    let flow = in_url.map(|in_url| format!("?r={}", in_url.text)).unwrap_or_default();
    request.go_to(&request.site.path(&format!("login{flow}")))
}

fn page(request: &BrowserRequest, id: &TicketId, step: &StepAtPage, shown: Shown) -> Response {
    let Shown { status, errors, notice, email } = shown;
    let mut form = Form::new(request.form_token(FormPurpose::Step, None, id.as_str().as_bytes()));
    form.errors = errors;
    let kind = match &step.field {
        StepField::Factor { kinds, passkey, elsewhere } => StepKind::Mfa {
            app: kinds.contains(&FactorKind::Totp),
            recovery: kinds.contains(&FactorKind::RecoveryCode),
            passkey: passkey.clone(),
            elsewhere: elsewhere.clone(),
        },
        StepField::Enrol { setup, passkey } => enrol(request, setup, passkey.clone()),
        StepField::RecoveryCodes { codes } => {
            StepKind::RecoveryCodes { codes: codes.iter().map(|code| ShownOnce::new(code.expose())).collect() }
        }
        StepField::NewPassword { min } => StepKind::ChoosePassword { min_password: *min },
        StepField::Address => StepKind::AskAddress { email: email.unwrap_or_default() },
        StepField::Code { sent_to } => StepKind::EnterCode { email: sent_to.clone() },
    };
    let (id, name) = (id.to_string(), step.login.clone());
    let view = View::Step(Step { form, id, revision: step.revision.to_string(), name, kind });
    let page = Page::new(view).with_status(status).in_flow(Some(&step.flow)).with_notice(notice);
    request.page(page.until(step.expires_at))
}

/// An app to set up, or a passkey to make.
fn enrol(request: &BrowserRequest, setup: &TotpSetup, passkey: Option<String>) -> StepKind {
    let (secret, uri, picture) = shown_setup(setup);
    let passkey_host = request.only_host_of_passkeys().filter(|_| passkey.is_some());
    StepKind::Enrol { secret, uri, picture, passkey, passkey_host }
}

/// An app to set up: its secret in groups of four, the URI, and a picture of it.
pub(super) fn shown_setup(setup: &TotpSetup) -> (ShownOnce, ShownOnce, ShownOnce) {
    let letters: Vec<char> = setup.secret.expose().chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    let picture = qr_code::data_url(setup.uri.expose());
    (ShownOnce::new(groups.join(" ")), ShownOnce::new(setup.uri.expose()), ShownOnce::new(picture))
}

async fn submit(request: BrowserRequest, Path(id): Path<String>, body: Request) -> Response {
    let form = match request.form(body).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    let Ok(id) = id.parse::<TicketId>() else { return request.refused(ErrorKind::NotFound) };
    let Some(visitor) = request.visitor_id().copied() else { return ask_anew(&request) };
    let present = match leave_if_signed_in(&request, &id).await {
        Ok(present) => present,
        Err(answer) => return *answer,
    };
    if !request.has_form_token(form.text("csrf"), FormPurpose::Step, None, id.as_str().as_bytes()) {
        let errors = vec![FieldError { field: None, text: Text::TryAgain }];
        let shown = Shown { status: StatusCode::UNPROCESSABLE_ENTITY, errors, ..Shown::default() };
        return current(&request, &id, &form, shown).await;
    }
    let Ok(revision) = form.text("revision").parse::<i64>() else { return request.bad_parameter("revision") };
    let (typed, notice) = typed(&form);
    let of = (&*request.client, &request.site);
    let place = (&id, visitor, present.as_ref());
    let taken = request.state.service.browser.take_step(&request.ctx, of, place, (revision, typed)).await;
    match &*taken {
        Ok(StepTaken::Done) => to_step(&request, &id, notice),
        Ok(StepTaken::Stale) => to_step(&request, &id, Some(MOVED)),
        Ok(StepTaken::Over { .. }) => to_step(&request, &id, None),
        Ok(StepTaken::Nothing) => ask_anew(&request),
        Ok(StepTaken::AnotherUser { flow }) => match (request.open_flow(flow), &present) {
            (Some(in_url), Some(session)) => request.switch_user(&in_url.flow, session),
            _ => request.start_again_in(flow, "login"),
        },
        Ok(StepTaken::Session { cookies, flow }) => match request.open_flow(flow) {
            Some(InUrl { flow, .. }) => request.arrive_with(&flow, cookies),
            // The steps have half an hour, and the flow has a day.
            None => request.start_again_in(flow, "login"),
        },
        Err(error) => refused(&request, &id, &form, error).await,
    }
}

/// What was filled in, and what the next page says about it.
fn typed(form: &SentForm) -> (StepTyped, Option<&'static str>) {
    match form.text("action") {
        "resend" => (StepTyped::Resend, Some(RESENT)),
        "other_address" => (StepTyped::OtherAddress, None),
        "codes_kept" => (StepTyped::CodesKept, None),
        _ if form.has("recovery_code") => (StepTyped::RecoveryCode(form.code("recovery_code")), None),
        _ if form.has("passkey_response") => {
            (StepTyped::Passkey(PasskeyResponse::new(form.text("passkey_response").to_owned())), None)
        }
        _ if form.has("new_password") => {
            (StepTyped::NewPassword(Password::new(form.text("new_password").to_owned())), None)
        }
        _ if form.has("email") => (StepTyped::Address(form.text("email").to_owned()), None),
        _ => (StepTyped::Code(TypedCode::new(form.text("code").to_owned())), None),
    }
}

/// Sends the browser to the step that is next.
fn to_step(request: &BrowserRequest, id: &TicketId, notice: Option<&str>) -> Response {
    let flow = request.query.get("r").ok().flatten().and_then(|text| request.open_flow(text));
    let flow = flow.map(|in_url| format!("r={}", in_url.text));
    let query: Vec<String> = flow.into_iter().chain(notice.map(|notice| format!("{NOTICE}={notice}"))).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    request.go_to(&request.site.path(&format!("step/{id}{mark}{}", query.join("&"))))
}

/// The step with what is wrong, as far as its user can do something about it.
async fn refused(request: &BrowserRequest, id: &TicketId, form: &SentForm, error: &Error) -> Response {
    let Some(status) = form_status(error) else { return request.failed(error) };
    let refused_passkey = form.has("passkey_response") && matches!(error, Error::Unauthenticated(_));
    let errors =
        if refused_passkey { vec![FieldError { field: None, text: Text::PasskeyRefused }] } else { errors(error) };
    let shown = Shown { status, errors, ..Shown::default() };
    with_retry_after(current(request, id, form, shown).await, retry_after(error))
}

/// The step that is next, as it stands.
async fn current(request: &BrowserRequest, id: &TicketId, form: &SentForm, mut shown: Shown) -> Response {
    shown.email = Some(form.text("email").to_owned());
    match request.state.service.browser.step(&request.client, id, request.visitor_id()).await {
        Ok(PageStep::Next(step)) => {
            if matches!(step.field, StepField::Factor { .. } | StepField::Enrol { .. }) && form.has("code") {
                name_the_app(&mut shown.errors);
            }
            if matches!(step.field, StepField::Enrol { .. }) {
                replace(
                    &mut shown.errors,
                    &Text::PasskeyRefused,
                    &FieldError { field: None, text: Text::NewPasskeyRefused },
                );
            }
            page(request, id, &step, shown)
        }
        Ok(PageStep::Over { login, flow, end }) => over(request, id, (login, &flow), end).await,
        Ok(PageStep::Nothing) => ask_anew(request),
        Err(error) => request.failed(&error),
    }
}

/// A code that is not accepted was one of an app: its device may have another time.
fn name_the_app(errors: &mut [FieldError]) {
    replace(errors, &Text::CodeInvalid, &FieldError { field: Some(Field::Code), text: Text::AppCodeInvalid });
}

fn replace(errors: &mut [FieldError], text: &Text, by: &FieldError) {
    for error in errors.iter_mut().filter(|error| error.text == *text) {
        error.clone_from(by);
    }
}
