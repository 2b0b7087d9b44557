//! Pages for programs. They get a step in JSON where people get a page, from the same handlers. Where a browser would be
//! sent on to another page of the site, a program gets that page at once; where it would be sent on to the application, it
//! is told so and goes there itself.

mod cookies;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};

use self::cookies::Jar;
use super::{BrowserState, SiteOf, answer_of, below, cross_site, headers, log, problem::Problem};
use crate::{domain::site::Site, service::RequestContext, web::pages};

/// How many pages one request may be led through. There are three at most, on the way to a page that wants a sign-in.
const MAX_PAGES: usize = 6;

/// What describes a body, and does not belong to the request for the page after it.
const OF_BODY: [header::HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::TRANSFER_ENCODING];

/// Answers a request with a step, a problem, or the way back to the application.
pub(super) async fn answer(state: &BrowserState, found: SiteOf, pages: &Router, mut request: Request) -> Response {
    let site = found.site.clone();
    // A page can be opened from anywhere. A script of another site has no business with what a step says, and browsers keep
    // it from reading that anyway.
    let ctx = log::context(state, &found, request.headers());
    if !cross_site::is_unsafe(request.method()) && !cross_site::is_same_origin_read(request.headers()) {
        return refused(&site, &ctx, Problem::CrossSiteRequest, "the request comes from another site");
    }
    request.extensions_mut().insert(ctx.clone());
    let mut way = Way::of(&request, site, (found, ctx));
    let mut response = answer_of(pages.clone(), request).await;
    for _ in 0..MAX_PAGES {
        if response.status() != StatusCode::SEE_OTHER {
            return way.end(response);
        }
        let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
        let location = location.unwrap_or_default().to_owned();
        let Some(page) = way.page(&location) else { return way.done(response, &location) };
        way.jar.keep(&response, &mut way.headers);
        response = answer_of(pages.clone(), way.request(page)).await;
    }
    tracing::error!(request_id = %way.context.1.request_id, "pages lead to each other in a circle");
    refused(&way.site, &way.context.1, Problem::Internal, "the pages lead nowhere")
}

/// A problem that no page has.
fn refused(site: &Site, ctx: &RequestContext, problem: Problem, detail: &str) -> Response {
    let mut response = problem.answer(detail);
    headers::problem(&mut response, site);
    log::add_request_id(&mut response, ctx);
    response
}

/// A request on its way through the pages that it is led to.
struct Way {
    site: Site,
    method: Method,
    headers: HeaderMap,
    /// What the pages are told by the server.
    context: (SiteOf, RequestContext),
    /// The cookies that were set on the way.
    jar: Jar,
}

impl Way {
    fn of(request: &Request, site: Site, context: (SiteOf, RequestContext)) -> Self {
        let mut headers = request.headers().clone();
        for name in OF_BODY {
            headers.remove(name);
        }
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let method = if request.method() == Method::HEAD { Method::HEAD } else { Method::GET };
        Self { site, method, headers, context, jar: Jar::default() }
    }

    /// The page below the prefix that a location is.
    fn page(&self, location: &str) -> Option<Uri> {
        let uri: Uri = location.strip_prefix(self.site.origin())?.parse().ok()?;
        self.site.owns(uri.path()).then(|| below(self.site.prefix(), &uri))?
    }

    /// The request for a page, as the browser would send it.
    fn request(&self, uri: Uri) -> Request {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        let mut extensions = Extensions::new();
        extensions.insert(self.context.0.clone());
        extensions.insert(self.context.1.clone());
        *request.extensions_mut() = extensions;
        request
    }

    /// The last answer, with the cookies of those before it.
    fn end(mut self, mut response: Response) -> Response {
        self.jar.add_to(&mut response);
        response
    }

    /// The end of the way: the application follows.
    fn done(self, response: Response, location: &str) -> Response {
        let (mut parts, _) = response.into_parts();
        parts.status = StatusCode::OK;
        parts.headers.remove(header::LOCATION);
        parts.headers.remove(header::CONTENT_LENGTH);
        let mut response = Response::from_parts(parts, Body::from(pages::done(location)));
        headers::step(&mut response, &self.site);
        self.end(response)
    }
}
