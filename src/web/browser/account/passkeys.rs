//! Adding a passkey on the account page: a form that begins it, and one that sends what the browser has made.

use std::sync::Arc;

use axum::response::Response;

use super::{
    SignedIn,
    factors::{ShownFactors, answer, enrolment},
    show::{Shown, page},
};
use crate::{
    error::Error,
    secret::{PasskeyResponse, TicketToken},
    web::{
        browser::{BrowserRequest, form::Form},
        pages::{AccountAction, Hidden, NewPasskey},
    },
};

/// Where the page says that one was added.
pub(super) const DONE: &str = "account?done=passkey";

/// Begins to add a passkey: the page again, with a button for it.
pub(super) async fn begin(request: &BrowserRequest, who: &SignedIn, form: &Form) -> Result<Response, Arc<Error>> {
    let accounts = &request.state.service.accounts;
    let begun = accounts.start_passkey(&request.ctx, &who.me, form.text("factor_name")).await?;
    let passkey = NewPasskey { form: Hidden::new(begun.enrolment.expose()), options: begun.options_json };
    let factors = ShownFactors { passkey: Some(passkey), ..ShownFactors::default() };
    let shown = Shown { acted: Some(AccountAction::AddPasskey), factors, ..Shown::default() };
    Ok(page(request, who, shown).await)
}

/// Adds the passkey that was made, and shows the recovery codes that come with the first factor.
pub(super) async fn finish(request: &BrowserRequest, who: &SignedIn, form: &Form) -> Result<Response, Arc<Error>> {
    let browser = &request.state.service.site_accounts;
    let added = browser.confirm_passkey(request.at_site(""), (&who.session, &who.me), made(form)).await?;
    Ok(answer(request, &added, DONE))
}

/// What a form sends: what was asked for, and what was made.
pub(super) fn made(form: &Form) -> (TicketToken, PasskeyResponse) {
    (enrolment(form), PasskeyResponse::new(form.text("passkey_response").to_owned()))
}
