//! The language of a page, and `POST /language`, which chooses one. In this order: the one that was chosen in this browser,
//! the first of `ui_locales` that there are texts in, that of the user who is signed in, the first of `Accept-Language`,
//! English. Whoever chooses one while signed in gets it as the language of the account too.

use axum::{
    Router,
    extract::Request,
    http::{Method, header},
    response::Response,
    routing::post,
};

use super::{BrowserRequest, BrowserState};
use crate::{
    domain::{flow::FlowState, mail::Language},
    error::{Error, Reason},
    service::{FormPurpose, FoundFlow},
    web::pages::{Hidden, LanguageChoice, ResetPassword, Verify, View},
};

/// The longest path of a page that is gone back to. Request lines are not longer.
const MAX_PATH: usize = 16 * 1024;

/// The routes.
pub(super) fn routes() -> Router<BrowserState> {
    Router::new().route("/language", post(choose))
}

async fn choose(request: BrowserRequest, body: Request) -> Response {
    let form = match request.form(body).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    let return_to = form.text("return_to");
    if !is_path(return_to) {
        return request.bad_parameter("return_to");
    }
    if !request.has_form_token(form.text("csrf"), FormPurpose::Language, None, b"") {
        // The page that it leads back to has a fresh one.
        return if request.known_visitor.is_none() { request.cookies_blocked(None) } else { request.go_to(return_to) };
    }
    let wanted = form.text("language").parse::<Language>().ok();
    let Some(language) = wanted.filter(|language| request.state.pages.speaks(language)) else {
        return request.bad_parameter("language");
    };
    if let Err(error) = keep(&request, &language).await {
        return request.failed(&error);
    }
    let mut response = request.go_to(return_to);
    if let Some(cookie) = request.cookies.names().language(language.as_str()) {
        cookie.add_to(response.headers_mut());
    }
    response
}

/// Makes it the language of the account that is signed in here, if one is.
async fn keep(request: &BrowserRequest, language: &Language) -> Result<(), Error> {
    let Some((_, me)) = request.me().await? else { return Ok(()) };
    match request.state.service.accounts.choose_language(&request.ctx, &me, language).await {
        // The page is in that language all the same.
        Err(Error::RateLimited { .. } | Error::TokenRevoked | Error::Unauthenticated(Reason::TokenInvalid)) => Ok(()),
        other => other,
    }
}

/// Whether a text is a path of this origin, which a redirect can lead to.
fn is_path(text: &str) -> bool {
    let local = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
    local && text.len() <= MAX_PATH && text.bytes().all(|b| b.is_ascii_graphic())
}

impl BrowserRequest {
    /// The language of a page that nothing but this was asked for.
    pub(super) fn language(&self, asked: Option<Language>) -> Language {
        let user = self.user_language.get().cloned().flatten();
        let wanted = [self.cookies.language().and_then(|tag| tag.parse().ok()), asked, user];
        let accepted = self.headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        self.state.pages.language(wanted.into_iter().flatten(), accepted)
    }

    /// The language that `ui_locales` has asked for. It is taken where a flow begins and stands in it from then on.
    pub(super) fn asked_language(&self, flow: Option<&str>) -> Option<Language> {
        let flow = flow.or_else(|| self.query.get("r").ok().flatten());
        match flow.map(|text| self.state.service.browser.open_flow(text, (&self.client, &self.site), self.ctx.now)) {
            Some(FoundFlow::Open(flow) | FoundFlow::Over(flow)) => flow.language().cloned(),
            Some(FoundFlow::Unknown) | None => {
                let tags = self.query.get("ui_locales").ok().flatten()?;
                self.state.pages.first_spoken(tags)
            }
        }
    }

    /// A new flow from this page, in the language that was asked for.
    pub(super) fn begin_flow(&self, return_to: Option<&str>) -> FlowState {
        let flow = self.state.service.browser.begin_flow((&self.client, &self.site), return_to, self.ctx.now);
        flow.in_language(self.asked_language(None))
    }

    /// What the choice of a language on this page sends.
    pub(super) fn language_choice(&self, view: &View) -> LanguageChoice {
        let csrf = Hidden::new(self.form_token(FormPurpose::Language, None, b""));
        LanguageChoice { csrf, return_to: Hidden::new(self.path_to_return_to(view)) }
    }

    /// Where the same page is found again. What a form had that was sent there is in the page, if anywhere.
    fn path_to_return_to(&self, view: &View) -> String {
        let (page, token) = match view {
            View::Verify(Verify { token, .. }) => ("verify", token),
            View::ResetPassword(ResetPassword { token, .. }) => ("reset", token),
            _ => return self.asked_for.0.clone(),
        };
        if self.method != Method::POST {
            return self.asked_for.0.clone();
        }
        let flow = self.query.get("r").ok().flatten().map(|r| format!("&r={r}")).unwrap_or_default();
        self.site.path(&format!("{page}?token={}{flow}", token.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s13_a_choice_leads_nowhere_but_to_this_origin() {
        for good in ["/", "/auth/login?r=x", "/dev"] {
            assert!(is_path(good), "{good}");
        }
        for bad in ["", "auth", "//evil.example", "/\\evil.example", "https://evil.example/", "/a b", "/ä", "/a\r\nb"]
        {
            assert!(!is_path(bad), "{bad}");
        }
        assert!(!is_path(&format!("/{}", "a".repeat(MAX_PATH))));
    }
}
