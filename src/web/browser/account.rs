//! `GET /account` and `POST /account`: what people do with their own accounts. Each form says in `action` what it does, and
//! each has the token that is bound to the session.

mod actions;
mod again;
mod factors;
mod own_data_file;
mod passkeys;
mod show;

use axum::{Router, extract::Request, response::Response, routing::get};

use self::{
    actions::Done,
    factors::ShownFactors,
    show::{Shown, page},
};
use super::{
    BrowserRequest, BrowserState,
    account_pages::{Untrusted, Wrong},
    answer::{form_status, retry_after, with_retry_after},
};
use crate::{
    domain::{
        flow::OwnPage,
        password_policy::{PasswordPolicy, PasswordProblem},
    },
    error::{Error, Reason},
    service::{BrowserSession, FormPurpose, Me},
    web::pages::{AccountAction, Field, Notice, Text, Tone},
};

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/account", get(show).post(submit))
}

/// Whoever is signed in, and how.
struct SignedIn {
    session: BrowserSession,
    me: Me,
}

/// The account that is signed in, or the way to the sign-in.
async fn signed_in(request: &BrowserRequest) -> Result<SignedIn, Response> {
    match request.me().await {
        Ok(Some((session, me))) => Ok(SignedIn { session, me }),
        Ok(None) => Err(request.go_to(&request.path_of_sign_in_for(OwnPage::Account))),
        Err(error) => Err(request.failed(&error)),
    }
}

async fn show(request: BrowserRequest) -> Response {
    let who = match signed_in(&request).await {
        Ok(who) => who,
        Err(answer) => return answer,
    };
    // One that is too old, or was used, is not missed here.
    let waiting = request.query.get("w").ok().flatten().and_then(|text| request.open_waiting(text));
    let email_confirmed = request.query.get("done") == Ok(Some("email"));
    let enrolment = request.query.get("e").ok().flatten().map(str::to_owned);
    let factors = ShownFactors { enrolment, ..ShownFactors::default() };
    let shown = Shown { waiting, factors, notice: notice(&request), email_confirmed, ..Shown::default() };
    page(&request, &who, shown).await
}

/// What was done by the form before, as the URL says. Nobody is harmed who reads it without having done it.
fn notice(request: &BrowserRequest) -> Option<Notice> {
    let count = || request.query.get("n").ok().flatten().and_then(|n| n.parse::<u16>().ok()).map_or(0, i64::from);
    let text = match request.query.get("done").ok().flatten()? {
        "factor_added" => Text::FactorAdded,
        "factor_removed" => Text::FactorRemoved,
        "factor_gone" => return Some(Notice::new(Tone::Info, Text::FactorGone)),
        "name" => Text::NameChanged,
        "passkey" => Text::PasskeyAdded,
        "password" => Text::PasswordChanged { ended: count() },
        "sessions" => Text::SessionsEnded { ended: count() },
        _ => return None,
    };
    Some(Notice::new(Tone::Done, text))
}

async fn submit(request: BrowserRequest, body: Request) -> Response {
    let form = match request.form(body).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    let who = match signed_in(&request).await {
        Ok(who) => who,
        Err(answer) => return again::answer(&request, &form).await.unwrap_or(answer),
    };
    let Some(action) = AccountAction::parse(form.text("action")) else { return request.bad_parameter("action") };
    let in_url = || request.query.get("w").ok().flatten().and_then(|text| request.open_waiting(text));
    let mut shown = Shown {
        acted: Some(action),
        waiting: request.open_waiting(form.text("form")).or_else(in_url),
        email_typed: form.text("email").to_owned(),
        factors: ShownFactors {
            enrolment: Some(form.text("form").to_owned()).filter(|_| action == AccountAction::ConfirmTotp),
            name_typed: form.text("factor_name").to_owned(),
            passkey: None,
        },
        username_typed: Some(form.text("username").to_owned()).filter(|_| action == AccountAction::ChangeName),
        ..Shown::default()
    };
    match request.untrusted(&form, FormPurpose::Profile, Some(&who.session)) {
        Some(Untrusted::Blocked) => return request.cookies_blocked(None),
        Some(Untrusted::Again(wrong)) => {
            shown.wrong = wrong;
            return page(&request, &who, shown).await;
        }
        None => {}
    }
    match actions::act(&request, &who, (action, &form), shown.waiting.as_ref()).await {
        Ok(Done::Answer(answer)) => *answer,
        Ok(Done::GoTo(below)) => request.go_to(&request.site.path(&still_waiting(below, action, &shown))),
        Err(error) => match again::answer(&request, &form).await {
            Some(answer) => answer,
            None => refused(&request, &who, (action, &error), shown).await,
        },
    }
}

/// The page below the prefix, with the new address that still waits for its code. Other changes of the account have made
/// the code void.
fn still_waiting(below: String, action: AccountAction, shown: &Shown) -> String {
    match (&shown.waiting, action) {
        (Some(waiting), AccountAction::EndSession | AccountAction::EndOthers) => format!("{below}&w={}", waiting.text),
        _ => below,
    }
}

/// The page again with what is wrong, as far as its user can do something about it.
async fn refused(
    request: &BrowserRequest,
    who: &SignedIn,
    (action, error): (AccountAction, &Error),
    mut shown: Shown,
) -> Response {
    let of_factors = matches!(action, AccountAction::AddTotp | AccountAction::ConfirmTotp)
        || matches!(action, AccountAction::AddPasskey | AccountAction::ConfirmPasskey)
        || matches!(action, AccountAction::RemoveFactor | AccountAction::NewRecoveryCodes);
    let with_password = matches!(action, AccountAction::Delete | AccountAction::RemoveFactor);
    let current = if with_password { Field::Password } else { Field::CurrentPassword };
    if matches!(error, Error::Unauthenticated(Reason::SignInTooOld)) {
        match factors::sign_in_again(request, who, of_factors).await {
            Ok(Some(path)) => return request.go_to(&path),
            Ok(None) => {}
            Err(error) => return request.failed(&error),
        }
    }
    shown.wrong = match error {
        Error::Unauthenticated(Reason::InvalidCredentials) => Wrong::field(current, Text::WrongPassword),
        Error::Unauthenticated(Reason::SignInTooOld) => Wrong::field(current, Text::Required),
        Error::Unauthenticated(Reason::CodeInvalid) if action == AccountAction::ConfirmPasskey => {
            Wrong::form(Text::NewPasskeyRefused)
        }
        Error::Unauthenticated(Reason::CodeInvalid) if action == AccountAction::ConfirmTotp => {
            match factors::wrong_code(request, who, shown.factors.enrolment.as_deref()).await {
                Ok(wrong) => wrong,
                Err(error) => return request.failed(&error),
            }
        }
        // The session has ended meanwhile.
        Error::Unauthenticated(Reason::TokenInvalid) | Error::TokenRevoked => {
            return request.go_to(&request.path_of_sign_in_for(OwnPage::Account));
        }
        // It has gone already, which is what was asked for.
        Error::NotFound("session", _) => return request.go_to(&request.site.path("account?done=sessions&n=0")),
        // Perhaps by the same form before, and perhaps it was never there.
        Error::NotFound("factor", _) => return request.go_to(&request.site.path("account?done=factor_gone")),
        Error::Precondition(_) if action == AccountAction::RemoveFactor => Wrong::field(
            current,
            Text::of_password(PasswordProblem::TooShort(PasswordPolicy::default().min_code_points)),
        ),
        error if form_status(error).is_some() => Wrong::of(error),
        Error::Needs(_) | Error::Precondition(_) | Error::TokenTooLarge { .. } => Wrong::of(error),
        error => return request.failed(error),
    };
    let mut response = page(request, who, shown).await;
    if let Some(status) = form_status(error) {
        *response.status_mut() = status;
    }
    with_retry_after(response, retry_after(error))
}
