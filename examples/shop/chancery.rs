//! Chancery, as a proxy sees it: its pages below `/auth`, the check of a request, and what it keeps for a session.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use reqwest::{Client, RequestBuilder, redirect::Policy};

use crate::Shop;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of what is passed on, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// What browsers say about who made them send a request. Chancery refuses what another site made them send.
const ABOUT_THE_BROWSER: [HeaderName; 6] = [
    header::COOKIE,
    header::ORIGIN,
    header::ACCEPT_LANGUAGE,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-dest"),
];
/// What concerns one connection alone (RFC 9110 §7.6.1), and what the client sets by itself.
const OF_THE_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::CONTENT_LENGTH,
];

/// A server of Chancery. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Chancery {
    client: Client,
    pages: String,
    check: String,
}

impl Chancery {
    /// The server with its pages and its check at these URLs.
    pub(crate) fn new(pages: String, check: String) -> anyhow::Result<Self> {
        // Redirects are for the browser.
        let client = Client::builder().redirect(Policy::none()).timeout(TIMEOUT).no_proxy().build()?;
        Ok(Self { client, pages, check })
    }

    /// Reads what the browser behind `parts` may read at a path of the pages.
    pub(crate) fn get(&self, parts: &Parts, path: &str) -> RequestBuilder {
        let cookies = parts.headers.get(header::COOKIE).cloned().unwrap_or(HeaderValue::from_static(""));
        // It is the shop that reads, for a page of its own: it does not matter which site the link to the page is on.
        self.request(parts, Method::GET, path).header(header::COOKIE, cookies)
    }

    /// A change that the browser behind `parts` makes at a path of the pages. Chancery looks at what made it do so.
    pub(crate) fn change(&self, parts: &Parts, method: Method, path: &str) -> RequestBuilder {
        self.request(parts, method, path).headers(about_the_browser(&parts.headers))
    }

    fn request(&self, parts: &Parts, method: Method, path: &str) -> RequestBuilder {
        let host = parts.headers.get(header::HOST).cloned().unwrap_or(HeaderValue::from_static(""));
        self.client.request(method, format!("{}{path}", self.pages)).header(header::HOST, host)
    }

    /// The check of a request. A guest passes, and so does somebody without any session.
    pub(crate) fn check(&self, parts: &Parts) -> RequestBuilder {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let host = parts.headers.get(header::HOST).cloned().unwrap_or(HeaderValue::from_static(""));
        let request = self.client.get(format!("{}/auth/check?optional=1&guest=1", self.check));
        request
            .headers(about_the_browser(&parts.headers))
            .header("x-forwarded-method", parts.method.as_str())
            .header("x-forwarded-proto", "http")
            .header("x-forwarded-host", host)
            .header("x-forwarded-uri", target)
    }

    async fn pass_on(&self, request: Request) -> anyhow::Result<Response> {
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let body = to_bytes(body, MAX_BODY).await?;
        let mut headers = parts.headers;
        for name in OF_THE_CONNECTION {
            headers.remove(name);
        }
        let request = self.client.request(parts.method, format!("{}{target}", self.pages)).headers(headers);
        Ok(passed_back(request.body(body).send().await?).await)
    }
}

fn about_the_browser(headers: &HeaderMap) -> HeaderMap {
    let known = |name: HeaderName| headers.get(&name).cloned().map(|value| (name, value));
    ABOUT_THE_BROWSER.into_iter().filter_map(known).collect()
}

/// Takes the cookies that an answer sets, as a browser does, for the next request on its behalf.
pub(crate) fn take_cookies(headers: &mut HeaderMap, set: &HeaderMap) {
    for cookie in set.get_all(header::SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok()) {
        let pair = cookie.split(';').next().unwrap_or_default();
        let name = |pair: &str| pair.split('=').next().map(|name| name.trim().to_owned());
        let known = headers.get(header::COOKIE).and_then(|known| known.to_str().ok()).unwrap_or_default();
        let others = known.split(';').map(str::trim).filter(|other| !other.is_empty() && name(other) != name(pair));
        let all: Vec<&str> = others.chain([pair]).collect();
        if let Ok(all) = HeaderValue::from_str(&all.join("; ")) {
            headers.insert(header::COOKIE, all);
        }
    }
}

/// An answer of Chancery's, for the browser.
pub(crate) async fn passed_back(answer: reqwest::Response) -> Response {
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    match answer.bytes().await {
        Ok(body) => (status, headers, Body::from(body)).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("Chancery's answer ends early: {error}")).into_response(),
    }
}

/// The pages below `/auth`: what a proxy does with one line.
pub(crate) async fn pages(State(shop): State<Shop>, request: Request) -> Response {
    match shop.chancery.pass_on(request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("Chancery does not answer: {error}")).into_response(),
    }
}
