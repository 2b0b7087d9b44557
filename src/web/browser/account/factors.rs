//! The second factors on the account page.

use std::sync::Arc;

use axum::response::Response;

use super::SignedIn;
use crate::{
    domain::{
        assurance, factor,
        flow::{OwnPage, Required},
    },
    error::{Error, Reason, Result},
    secret::{RecoveryCode, TicketToken},
    service::{FRESH_SIGN_IN, FactorAdded, MayChangeFactors, OwnFactors, TotpSetup},
    web::{
        browser::{BrowserRequest, account_pages::Wrong, answer::Page, form::Form, step::shown_setup},
        pages::{
            AccountAction, Factor, FactorKind, Factors, Field, Hidden, NewPasskey, NewTotp, RecoveryCodes, ShownOnce,
            Text, View,
        },
    },
};

/// Where the page says that a factor was added.
pub(super) const DONE: &str = "account?done=factor_added";

/// What of the section depends on the request.
#[derive(Default)]
pub(super) struct ShownFactors {
    /// The app that is being set up, as the URL or the form says.
    pub(super) enrolment: Option<String>,
    /// What was typed as the name of a new one.
    pub(super) name_typed: String,
    /// A passkey that is being added.
    pub(super) passkey: Option<NewPasskey>,
}

/// Does what a form of the section asks for.
pub(super) async fn act(
    request: &BrowserRequest,
    who: &SignedIn,
    (action, form): (AccountAction, &Form),
) -> Result<Response, Arc<Error>> {
    let browser = &request.state.service.site_accounts;
    let at = request.at_site("");
    match action {
        AccountAction::ConfirmTotp => {
            let typed = (enrolment(form), form.code("code"));
            let added = browser.confirm_totp(at, (&who.session, &who.me), typed).await?;
            Ok(answer(request, &added, DONE))
        }
        AccountAction::RemoveFactor => {
            let password = form.password("password");
            browser.remove_factor(at, &who.me, form.text("factor_id"), password).await?;
            Ok(request.go_to(&request.site.path("account?done=factor_removed")))
        }
        AccountAction::NewRecoveryCodes => {
            let id = browser.account_form(form.text("form"), &request.site, request.visitor.id, request.ctx.now);
            let codes = browser.new_recovery_codes(at, &who.me, &id).await?;
            Ok(recovery_codes(request, &codes))
        }
        _ => {
            let enrolment = browser.enrol_totp(at, &who.me, form.text("factor_name")).await?;
            let below = format!("account?e={}", enrolment.enrolment.expose());
            Ok(request.go_to(&request.site.path(&below)))
        }
    }
}

/// The app that a form is about.
pub(super) fn enrolment(form: &Form) -> TicketToken {
    TicketToken::new(form.text("form").to_owned())
}

/// What follows a factor that was added: recovery codes if it is the first one.
pub(super) fn answer(request: &BrowserRequest, added: &FactorAdded, path: &str) -> Response {
    let mut response = if added.recovery_codes.is_empty() {
        request.go_to(&request.site.path(path))
    } else {
        recovery_codes(request, &added.recovery_codes)
    };
    if let Some(cookies) = &added.cookies {
        request.set_session_cookies(&mut response, cookies);
    }
    response
}

/// The page that shows recovery codes once.
fn recovery_codes(request: &BrowserRequest, codes: &[RecoveryCode]) -> Response {
    let codes = codes.iter().map(|code| ShownOnce::new(code.expose())).collect();
    request.page(Page::new(View::RecoveryCodes(RecoveryCodes { codes, continue_to: request.site.path("account") })))
}

/// What the section shows, and whether other changes of the account wait for another sign-in too: the password alone
/// proves less than a sign-in where there is a second factor.
pub(super) async fn section(request: &BrowserRequest, who: &SignedIn, shown: ShownFactors) -> Result<(Factors, bool)> {
    let accounts = &request.state.service.accounts;
    let OwnFactors { factors, recovery_codes_left } = accounts.factors(&who.me).await?;
    let may = accounts.may_change_factors(&request.ctx, &who.me).await?;
    let totp = match shown.enrolment.filter(|_| may.now) {
        Some(token) => pending(request, who, &token).await?,
        None => None,
    };
    let section = Factors {
        password_needed: factors.len() == 1 && accounts.has_password(&who.me).await?,
        recovery_codes: (!factors.is_empty()).then_some(recovery_codes_left),
        codes_form: Hidden::new(request.state.service.browser.new_form(
            &request.site,
            request.visitor.id,
            request.ctx.now,
        )),
        list: factors.into_iter().filter_map(listed).collect(),
        sign_in_again: (!may.now).then(|| path_of_sign_in_again(request, may)),
        name_typed: shown.name_typed,
        totp,
        passkeys: request.has_passkeys(),
        passkey_host: request.only_host_of_passkeys(),
        passkey: shown.passkey.filter(|_| may.now),
    };
    Ok((section, may.has_one && !may.now))
}

/// An app that is being set up; nothing if that took too long.
async fn pending(request: &BrowserRequest, who: &SignedIn, token: &str) -> Result<Option<NewTotp>> {
    let enrolment = TicketToken::new(token.to_owned());
    match request.state.service.accounts.pending_totp(&who.me, enrolment).await {
        Ok(pending) => Ok(Some(new_totp(&pending.setup, token))),
        Err(Error::Unauthenticated(Reason::CodeInvalid) | Error::Invalid(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is wrong with a code that was refused. Where the app is not being set up any more, no other code helps.
pub(super) async fn wrong_code(request: &BrowserRequest, who: &SignedIn, enrolment: Option<&str>) -> Result<Wrong> {
    let pending = pending(request, who, enrolment.unwrap_or_default()).await?;
    Ok(match pending {
        Some(_) => Wrong::field(Field::Code, Text::AppCodeInvalid),
        None => Wrong::form(Text::SetupOver),
    })
}

fn new_totp(setup: &TotpSetup, token: &str) -> NewTotp {
    let (secret, uri, picture) = shown_setup(setup);
    NewTotp { form: Hidden::new(token), secret, uri, picture }
}

/// Recovery codes are no factor, and stand in no list.
fn listed(factor: factor::Factor) -> Option<Factor> {
    let kind = match factor.kind {
        factor::FactorKind::Totp => FactorKind::Totp,
        factor::FactorKind::Passkey => FactorKind::Passkey,
        factor::FactorKind::RecoveryCode => return None,
    };
    let (added_at, last_used_at) = (factor.created_at, factor.last_used_at);
    Some(Factor { id: factor.id.to_string(), kind, name: factor.name, added_at, last_used_at })
}

/// Where to sign in again for a change. Nothing where the current password makes up for an old sign-in: that is so
/// without a second factor, but for changes of the factors themselves.
pub(super) async fn sign_in_again(
    request: &BrowserRequest,
    who: &SignedIn,
    of_factors: bool,
) -> Result<Option<String>> {
    let may = request.state.service.accounts.may_change_factors(&request.ctx, &who.me).await?;
    Ok((of_factors || may.has_one).then(|| path_of_sign_in_again(request, may)))
}

fn path_of_sign_in_again(request: &BrowserRequest, may: MayChangeFactors) -> String {
    let acr = may.has_one.then(|| assurance::TWO_FACTORS.to_owned());
    let required = Required { acr, max_age: Some(FRESH_SIGN_IN), prompt: None };
    let flow = request.begin_flow(None).leading_to(OwnPage::Account).requiring(required);
    request.site.path(&format!("login?r={}", request.state.service.browser.seal_flow(&flow)))
}
