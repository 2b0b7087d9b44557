//! What the forms of the account page do.

use std::sync::Arc;

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{SignedIn, factors, own_data_file, passkeys};
use crate::{
    error::{Error, Reason},
    secret::{Password, TicketToken},
    service::{Awaited, MePatch, NewPasswordAtSite, PresentedTicket, SiteVerification},
    web::{
        browser::{
            BrowserRequest, account_pages::WaitingInUrl, answer::Page, cookies::CookieKind, form::Form, headers,
        },
        pages::{AccountAction, Notice, SignedOut, Text, Tone, View},
    },
};

/// What follows an action.
pub(super) enum Done {
    /// This.
    Answer(Box<Response>),
    /// A page below the prefix.
    GoTo(String),
}

/// Does what a form asks for.
pub(super) async fn act(
    request: &BrowserRequest,
    who: &SignedIn,
    (action, form): (AccountAction, &Form),
    waiting: Option<&WaitingInUrl>,
) -> Result<Done, Arc<Error>> {
    let (accounts, browser) = (&request.state.service.accounts, &request.state.service.site_accounts);
    match action {
        AccountAction::ChangeName => {
            let patch = MePatch { name: Some(form.text("username").to_owned()), ..MePatch::default() };
            let change = (patch, form.password("current_password"));
            accounts.update_at(request.at_site(""), &who.me, change, None).await?;
            Ok(Done::GoTo("account?done=name".to_owned()))
        }
        AccountAction::ChangeEmail => change_email(request, who, form).await,
        AccountAction::VerifyEmail => verify_email(request, who, form, waiting).await,
        AccountAction::ChangePassword => change_password(request, who, form).await,
        AccountAction::AddPasskey => Ok(Done::Answer(Box::new(passkeys::begin(request, who, form).await?))),
        AccountAction::ConfirmPasskey => Ok(Done::Answer(Box::new(passkeys::finish(request, who, form).await?))),
        AccountAction::AddTotp
        | AccountAction::ConfirmTotp
        | AccountAction::RemoveFactor
        | AccountAction::NewRecoveryCodes => {
            Ok(Done::Answer(Box::new(factors::act(request, who, (action, form)).await?)))
        }
        AccountAction::EndSession => end_sessions(request, who, Some(form.text("session_id"))).await,
        AccountAction::EndOthers => end_sessions(request, who, None).await,
        AccountAction::EndAll => {
            browser.end_all_sessions(request.at_site(""), &who.me).await?;
            Ok(Done::Answer(Box::new(signed_out(request, true, None))))
        }
        AccountAction::Download => download(request, who).await,
        AccountAction::Delete => {
            browser.delete(request.at_site(""), &who.me, form.password("password")).await?;
            Ok(deleted(request))
        }
    }
}

async fn change_email(request: &BrowserRequest, who: &SignedIn, form: &Form) -> Result<Done, Arc<Error>> {
    let email = form.text("email");
    if email.is_empty() {
        return Err(Error::invalid("email", "must not be empty").into());
    }
    let (at, browser) = (request.at_site(""), &request.state.service.site_accounts);
    let pending = browser.change_email(at, &who.me, (email, form.password("current_password"))).await?;
    let Some(pending) = &*pending else { return Ok(Done::GoTo("account".to_owned())) };
    let ticket = (pending.ticket.clone(), email);
    let w = request.state.service.accounts.seal_waiting(at, Awaited::NewAddress, ticket)?;
    Ok(Done::GoTo(format!("account?w={w}")))
}

async fn verify_email(
    request: &BrowserRequest,
    who: &SignedIn,
    form: &Form,
    waiting: Option<&WaitingInUrl>,
) -> Result<Done, Arc<Error>> {
    const INVALID: Error = Error::Unauthenticated(Reason::CodeInvalid);
    let waiting = &waiting.filter(|w| w.waiting.awaited == Awaited::NewAddress).ok_or(INVALID)?.waiting;
    let presented = PresentedTicket {
        token: TicketToken::new(String::new()),
        ticket: waiting.ticket.clone(),
        code: form.code("code"),
    };
    let none = Password::new(String::new());
    let verification = SiteVerification { presented, new_password: none, name: None, without_name: false };
    let browser = &request.state.service.site_accounts;
    let id = browser.waiting_form(waiting.form, &request.site, request.visitor.id);
    match browser.verify(request.at_site(""), &id, verification, Some(&who.me)).await {
        Ok(_) => Ok(Done::GoTo("account?done=email".to_owned())),
        // The code is for the account of somebody else, who has used this browser too.
        Err(error) if matches!(*error, Error::Needs(_)) => Err(INVALID.into()),
        Err(error) => Err(error),
    }
}

async fn change_password(request: &BrowserRequest, who: &SignedIn, form: &Form) -> Result<Done, Arc<Error>> {
    let browser = &request.state.service.site_accounts;
    let of = (&who.session, &who.me);
    let changed = browser.change_password(request.at_site(""), of, new_password(form)).await?;
    let mut response = request.go_to(&request.site.path(&format!("account?done=password&n={}", changed.ended)));
    if let Some(cookies) = &changed.cookies {
        request.set_session_cookies(&mut response, cookies);
    }
    Ok(Done::Answer(Box::new(response)))
}

/// The passwords in the form that changes them.
pub(super) fn new_password(form: &Form) -> NewPasswordAtSite {
    NewPasswordAtSite { current: form.password("current_password"), new: form.password("new_password") }
}

/// Ends one session, or all others. Whoever ends the one that is in use is signed out.
async fn end_sessions(request: &BrowserRequest, who: &SignedIn, session: Option<&str>) -> Result<Done, Arc<Error>> {
    let ended = request.state.service.accounts.revoke_session(&who.me, session).await?;
    if session == Some(who.me.session().as_str()) {
        return Ok(Done::Answer(Box::new(signed_out(request, false, None))));
    }
    Ok(Done::GoTo(format!("account?done=sessions&n={}", ended.sessions)))
}

/// The page for whoever is signed out now.
pub(super) fn signed_out(request: &BrowserRequest, everywhere: bool, notice: Option<Notice>) -> Response {
    let view = View::SignedOut(SignedOut { everywhere, return_to: None });
    let mut response = request.page(Page::new(view).with_notice(notice));
    request.cookies.names().expired(CookieKind::Session).add_to(response.headers_mut());
    response
}

/// The page for whoever has no account any more.
pub(super) fn deleted(request: &BrowserRequest) -> Done {
    let notice = Notice::new(Tone::Done, Text::AccountDeleted);
    Done::Answer(Box::new(signed_out(request, true, Some(notice))))
}

/// Everything that is kept about the user, as a file.
async fn download(request: &BrowserRequest, who: &SignedIn) -> Result<Done, Arc<Error>> {
    let data = request.state.service.accounts.own_data(&who.me).await?;
    // It may be megabytes.
    let text = tokio::task::spawn_blocking(move || own_data_file::text(&data)).await;
    let text = text.map_err(|e| Error::Internal(Box::new(e)))?.map_err(|e| Error::Internal(Box::new(e)))?;
    let mut response = text.into_response();
    headers::download(&mut response, &request.site, HeaderValue::from_static("application/json"));
    let disposition = HeaderValue::from_static("attachment; filename=\"my-data.json\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(Done::Answer(Box::new(response)))
}
