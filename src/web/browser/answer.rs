//! Answers to browsers: pages, redirects and errors, with their headers and cookies.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use serde_json::json;

use super::{BrowserRequest, cookies::CookieKind, form::FormError, headers};
use crate::{
    domain::{branding::LogoUri, mail::Language, password_policy::PasswordPolicy},
    error::{Error, Reason},
    time::{Timestamp, Ttl},
    web::pages::{Accent, ErrorKind, ErrorPage, Look, Notice, Surroundings, Text, View},
};

/// A page that is to be sent.
#[derive(Debug)]
pub struct Page<'a> {
    /// The status.
    pub status: StatusCode,
    /// What it shows.
    pub view: View,
    /// The sealed state of the flow, which its links and forms carry on.
    pub flow: Option<&'a str>,
    /// Something to say above it.
    pub notice: Option<Notice>,
    /// Until when its form can be sent, as far as that is known.
    pub expires_at: Option<Timestamp>,
    /// Why there is an error, for programs, if the error page alone does not say.
    reason: Option<&'static str>,
}

impl<'a> Page<'a> {
    /// A page that is as it should be.
    #[must_use]
    pub const fn new(view: View) -> Self {
        Self { status: StatusCode::OK, view, flow: None, notice: None, expires_at: None, reason: None }
    }

    /// The same page with another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same page in a flow.
    #[must_use]
    pub fn in_flow(self, flow: Option<&'a str>) -> Self {
        Self { flow, ..self }
    }

    /// The same page with a notice.
    #[must_use]
    pub fn with_notice(self, notice: Option<Notice>) -> Self {
        Self { notice, ..self }
    }

    /// The same page with a form that can be sent until then.
    #[must_use]
    pub fn until(self, at: impl Into<Option<Timestamp>>) -> Self {
        Self { expires_at: at.into(), ..self }
    }
}

/// What an error page says.
struct Failure {
    kind: ErrorKind,
    /// Unless that of the kind.
    status: Option<StatusCode>,
    /// Unless that of the kind.
    reason: Option<&'static str>,
    parameter: Option<String>,
    detail: Option<Text>,
    after: Option<Ttl>,
}

impl Failure {
    const fn of(kind: ErrorKind) -> Self {
        Self { kind, status: None, reason: None, parameter: None, detail: None, after: None }
    }
}

impl BrowserRequest {
    /// Sends a page. The visitor's cookie is sent with it when it is due: pages are what a browser keeps cookies of,
    /// while those of a redirect on the way from another site may be lost.
    #[must_use]
    pub fn page(&self, page: Page<'_>) -> Response {
        let Page { status, view, flow, notice, expires_at, reason } = page;
        let config = &self.client.config;
        let asked_language = self.asked_language(flow);
        let look = Look {
            prefix: self.site.prefix(),
            display_name: self.client.display_name(),
            logo_uri: config.logo_uri.as_ref().map(LogoUri::as_str),
            accent: config.accent_color.and_then(|color| Accent::parse(&color.to_string())),
            home: self.site.home(),
            registration: config.registration,
            min_password: PasswordPolicy::default().min_code_points,
            language: self.language(asked_language.clone()),
            ui_locales: asked_language.as_ref().map(Language::as_str),
            flow,
            notice,
            choice: Some(self.language_choice(&view)),
        };
        let pages = &self.state.pages;
        let in_json = self.in_json.then(|| self.document(&look, &view, (status, expires_at, reason)));
        let mut response = in_json.flatten().unwrap_or_else(|| {
            let mut response = (status, Body::from(pages.render(&look, &view))).into_response();
            headers::page(&mut response, &self.site, config.logo_uri.as_ref());
            response
        });
        self.add_cookies(&mut response);
        response
    }

    /// A page in JSON: a step, or a problem document for an error. Nothing for a page that is for people alone.
    fn document(
        &self,
        look: &Look<'_>,
        view: &View,
        (status, expires_at, reason): (StatusCode, Option<Timestamp>, Option<&'static str>),
    ) -> Option<Response> {
        let pages = &self.state.pages;
        if let View::Error(page) = view {
            let [title, detail] = pages.error(look, page);
            let body = problem_of(page, (status, reason), &title, &detail);
            let mut response = (status, Body::from(body)).into_response();
            headers::problem(&mut response, &self.site);
            return Some(response);
        }
        let body = pages.document(look, view, Surroundings { origin: self.site.origin(), expires_at })?;
        let mut response = (status, Body::from(body)).into_response();
        headers::step(&mut response, &self.site);
        Some(response)
    }

    /// The cookies that every page sends when they are due. What cannot be used is overwritten.
    pub(super) fn add_cookies(&self, response: &mut Response) {
        let names = self.cookies.names();
        let headers = response.headers_mut();
        if self.visitor.renew {
            let cookie = self.state.service.browser.visitor_cookie(&self.visitor.id, self.ctx.now);
            names.visitor(&cookie).add_to(headers);
        }
        if self.cookies.is_unusable(CookieKind::Session) || self.has_dead_session() {
            names.expired(CookieKind::Session).add_to(headers);
        }
        for kind in [CookieKind::Devices, CookieKind::Language] {
            if self.cookies.is_unusable(kind) {
                names.expired(kind).add_to(headers);
            }
        }
    }

    /// Sends a browser on to a path of this site.
    #[must_use]
    pub fn go_to(&self, path: &str) -> Response {
        let location = HeaderValue::from_str(&format!("{}{path}", self.site.origin()));
        // Every path here was checked or made by this server.
        let Ok(location) = location else { return self.failed(&Error::Internal("a path is no header".into())) };
        let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
        headers::redirect(&mut response, &self.site);
        response
    }

    /// A page for an error after which nothing on the page can be corrected.
    #[must_use]
    pub fn failed(&self, error: &Error) -> Response {
        if let Error::Internal(_) | Error::Unavailable(_) = error {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(request_id = %self.ctx.request_id, cause, "a page failed: {error}");
        }
        let kind = kind_of(error);
        let parameter = match error {
            Error::Invalid(violations) => violations.first().map(|violation| violation.field.to_string()),
            _ => None,
        };
        let detail = (kind != ErrorKind::Internal).then(|| Text::of(error));
        let (reason, after) = (Some(error.reason().as_str()), retry_after(error));
        self.error_page(Failure { reason, parameter, detail, after, ..Failure::of(kind) })
    }

    /// A page for a parameter that is wrong.
    #[must_use]
    pub fn bad_parameter(&self, name: &str) -> Response {
        self.error_page(Failure { parameter: Some(name.to_owned()), ..Failure::of(ErrorKind::Invalid) })
    }

    /// A page for a body that is no form.
    #[must_use]
    pub fn bad_form(&self, error: &FormError) -> Response {
        let kind = if *error == FormError::TooLarge { ErrorKind::TooLarge } else { ErrorKind::Invalid };
        let detail = match error {
            FormError::OtherType => Text::FormType,
            FormError::TooLarge => Text::FormSize,
            FormError::TooManyFields | FormError::Name => Text::FormFields,
            FormError::Twice(_) => Text::FormTwice,
            FormError::NotText(_) => Text::FormText,
            FormError::Json => Text::FormJson,
            FormError::NotFlat(_) => Text::FormNotFlat,
            FormError::Incomplete => Text::FormLate,
        };
        let (status, reason) = (Some(error.status()), Some(detail.code()));
        let parameter = error.parameter().map(str::to_owned);
        self.error_page(Failure { status, reason, parameter, detail: Some(detail), ..Failure::of(kind) })
    }

    /// A page for an error that no form has caused.
    #[must_use]
    pub fn refused(&self, kind: ErrorKind) -> Response {
        self.error_page(Failure::of(kind))
    }

    fn error_page(&self, failure: Failure) -> Response {
        let Failure { kind, status, reason, parameter, detail, after } = failure;
        let request_id = self.ctx.request_id.to_string();
        let view = View::Error(ErrorPage { kind, parameter, detail, request_id, retry: None });
        let status = status.or(StatusCode::from_u16(kind.status()).ok());
        let page = Page { reason, ..Page::new(view).with_status(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)) };
        with_retry_after(self.page(page), after)
    }
}

/// An error page as a problem document (RFC 9457).
fn problem_of(
    page: &ErrorPage,
    (status, reason): (StatusCode, Option<&'static str>),
    title: &str,
    detail: &str,
) -> String {
    let mut out = json!({
        "status": status.as_u16(),
        "reason": reason.unwrap_or(page.kind.reason()),
        "title": title,
        "detail": detail,
        "request_id": page.request_id,
    });
    if let Some(members) = out.as_object_mut() {
        let more = [("parameter", &page.parameter), ("retry", &page.retry)];
        members.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into()))));
    }
    out.to_string()
}

const fn kind_of(error: &Error) -> ErrorKind {
    match error {
        Error::Invalid(_) | Error::Precondition(_) => ErrorKind::Invalid,
        Error::Denied(..) | Error::Lacks(_) | Error::Unauthenticated(_) => ErrorKind::Denied,
        Error::NotFound(..) => ErrorKind::NotFound,
        Error::TooManyAttempts { .. } | Error::RateLimited { .. } | Error::SignInInProgress { .. } => {
            ErrorKind::TooMany
        }
        Error::Throttled { .. }
        | Error::Unavailable(_)
        | Error::Stopping
        | Error::DeadlineExceeded
        | Error::Conflict => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// The status of a form that is sent again because of an error, which its user can do something about: correct it, or
/// wait. Nothing if the form is of no use then.
#[must_use]
pub(super) const fn form_status(error: &Error) -> Option<StatusCode> {
    Some(match error {
        // RFC 9110 §15.5.2 wants a challenge with 401, which no form is.
        Error::Invalid(_)
        | Error::Exists(..)
        | Error::Unauthenticated(Reason::InvalidCredentials | Reason::CodeInvalid) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::TooManyAttempts { .. } | Error::RateLimited { .. } | Error::SignInInProgress { .. } => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Error::Throttled { .. }
        | Error::Unavailable(_)
        | Error::Stopping
        | Error::DeadlineExceeded
        | Error::Conflict => StatusCode::SERVICE_UNAVAILABLE,
        _ => return None,
    })
}

/// How long to wait before trying again.
#[must_use]
pub(super) const fn retry_after(error: &Error) -> Option<Ttl> {
    match error {
        Error::TooManyAttempts { after, .. }
        | Error::RateLimited { after }
        | Error::SignInInProgress { after }
        | Error::Throttled { after } => Some(*after),
        Error::Unavailable(_) | Error::Stopping | Error::DeadlineExceeded | Error::Conflict => Some(Ttl::from_secs(1)),
        _ => None,
    }
}

/// The same answer with `Retry-After`, in whole seconds.
#[must_use]
pub(super) fn with_retry_after(mut response: Response, after: Option<Ttl>) -> Response {
    if let Some(after) = after {
        let seconds = (after.millis() + 999) / 1000;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}
