//! Forms that end the session they are sent in. A browser that has missed the answer sends them again without a session,
//! and gets the same answer.

use axum::response::Response;

use super::{
    actions::{Done, deleted, new_password, signed_out},
    factors::{self, enrolment},
    passkeys,
};
use crate::{
    domain::session::RevokedCause,
    error::Result,
    service::{EndedSession, FormPurpose},
    web::{
        browser::{BrowserRequest, form::Form},
        pages::AccountAction,
    },
};

/// The answer to a form that has ended its own session a moment ago; nothing to any other.
pub(super) async fn answer(request: &BrowserRequest, form: &Form) -> Option<Response> {
    match same_again(request, form).await {
        Ok(Some(Done::Answer(answer))) => Some(*answer),
        Ok(Some(Done::GoTo(below))) => Some(request.go_to(&request.site.path(&below))),
        Ok(None) => None,
        Err(error) => Some(request.failed(&error)),
    }
}

async fn same_again(request: &BrowserRequest, form: &Form) -> Result<Option<Done>> {
    let (Some(cookie), Some(visitor)) = (request.cookies.session(), &request.known_visitor) else { return Ok(None) };
    let Some(action) = AccountAction::parse(form.text("action")) else { return Ok(None) };
    let browser = &request.state.service.browser;
    let Some(ended) = browser.just_ended(cookie, &request.site, request.ctx.now).await? else { return Ok(None) };
    let EndedSession { id, cause, .. } = &ended;
    // Only a page that was shown in that session has its token.
    let of = (&visitor.id, Some(id));
    if !browser.form_token_matches(FormPurpose::Profile, of, &request.site, b"", form.text("csrf")) {
        return Ok(None);
    }
    let out = |everywhere| Done::Answer(Box::new(signed_out(request, everywhere, None)));
    Ok(match (action, cause) {
        (AccountAction::Delete, RevokedCause::UserDeleted) => Some(deleted(request)),
        (AccountAction::EndAll, RevokedCause::Logout) => Some(out(true)),
        (AccountAction::EndSession, RevokedCause::Logout) if form.text("session_id") == id.as_str() => Some(out(false)),
        (AccountAction::ChangePassword, RevokedCause::Superseded) => {
            let accounts = &request.state.service.site_accounts;
            let cookies = accounts.password_changed_before(request.at_site(""), id, &new_password(form)).await?;
            cookies.map(|cookies| {
                let mut response = request.go_to(&request.site.path("account?done=password"));
                request.set_session_cookies(&mut response, &cookies);
                Done::Answer(Box::new(response))
            })
        }
        (AccountAction::ConfirmTotp, RevokedCause::Superseded) => {
            let accounts = &request.state.service.site_accounts;
            let typed = (&enrolment(form), &form.code("code"));
            let added = accounts.totp_confirmed_before(request.at_site(""), &ended, typed).await?;
            added.map(|added| Done::Answer(Box::new(factors::answer(request, &added, factors::DONE))))
        }
        (AccountAction::ConfirmPasskey, RevokedCause::Superseded) => {
            let accounts = &request.state.service.site_accounts;
            let added = accounts.passkey_confirmed_before(request.at_site(""), &ended, &passkeys::made(form)).await?;
            added.map(|added| Done::Answer(Box::new(factors::answer(request, &added, passkeys::DONE))))
        }
        _ => None,
    })
}
