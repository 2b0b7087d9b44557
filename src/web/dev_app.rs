//! `serve --dev --app URL`: a demo stands in front of an application as a proxy would, with the sign-in pages below their
//! prefix and everything else passed on, after the check. For development alone: it has neither TLS nor the limits of a
//! real proxy.

mod connections;
mod forward;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chancery_guard::headers::is_reserved;
use tower::ServiceExt;

pub use self::connections::serve as serve_app;
use self::forward::Forwarder;
use super::{
    AppUrl, BrowserOptions,
    browser::{BrowserState, SiteOf},
    check::{CheckOptions, Checker, Decision, ForwardedRequest, upgrades},
    routes_with,
};
use crate::service::Service;

/// An application, and the demo in front of it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DevApp {
    state: BrowserState,
    pages: Router,
    checker: Checker,
    forwarder: Forwarder,
}

impl DevApp {
    /// Puts it together.
    #[must_use]
    pub fn new(service: Service, options: BrowserOptions, checker: Checker, app: &AppUrl) -> Self {
        let state = BrowserState::new(service.clone(), options.clone());
        Self { state, pages: routes_with(service, options), checker, forwarder: Forwarder::new(app) }
    }

    /// Answers a request, or has the application answer it.
    async fn answer(self, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        let found = match SiteOf::find(&self.state, &parts) {
            Ok(found) => found,
            Err(misdirected) => return misdirected.answer(&self.state),
        };
        if found.site.owns(parts.uri.path()) {
            let answered: Result<Response, _> = self.pages.oneshot(Request::from_parts(parts, body)).await;
            return answered.into_response();
        }
        // An application takes these for what the check says.
        let reserved: Vec<_> = parts.headers.keys().filter(|name| is_reserved(name.as_str())).cloned().collect();
        for name in reserved {
            parts.headers.remove(name);
        }
        let options = CheckOptions { optional: true, ..CheckOptions::default() };
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let asked = ForwardedRequest {
            method: parts.method.clone(),
            scheme: found.arrival.scheme,
            authority: found.arrival.authority.as_str().into(),
            target: &target,
            // Whatever else it might become, it stays as it is.
            upgrades: upgrades(&parts.headers).unwrap_or(false),
            headers: &parts.headers,
            options: &options,
        };
        match self.checker.decide(&asked).await {
            Decision::Answer(response) => response,
            Decision::Pass(identified) => {
                // Without a session, credentials that are not ours are the application's own business.
                let bearer = identified.authorization().map(|bearer| (header::AUTHORIZATION, bearer));
                let own: Vec<_> = identified.headers.into_iter().chain(bearer).collect();
                self.forwarder.forward(&found.arrival, Request::from_parts(parts, body), own).await
            }
        }
    }
}

/// A page in plain text.
fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = (status, text).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
