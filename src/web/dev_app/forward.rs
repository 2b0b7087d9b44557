//! Passes requests on to the application, and its answers back.

use std::{error::Error, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version,
        header::{self, CONNECTION, COOKIE, UPGRADE},
        uri::{PathAndQuery, Scheme},
    },
    response::Response,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};

use super::{AppUrl, plain};
use crate::web::{browser::Arrival, check::upgrades};

/// How long the application may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may take to begin its answer. Somebody may look at it in a debugger meanwhile.
const ANSWER: Duration = Duration::from_mins(5);
/// How long a WebSocket may last.
const TUNNEL: Duration = Duration::from_hours(24);

/// Headers that are about one connection (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    UPGRADE,
];

/// Passes requests on. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Forwarder {
    client: Client<HttpConnector, Body>,
    app: AppUrl,
}

impl Forwarder {
    pub(super) fn new(app: &AppUrl) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector), app: app.clone() }
    }

    /// The application's answer, or a page that says why there is none.
    /// `own` is what the application gets from us.
    pub(super) async fn forward(
        &self,
        arrival: &Arrival,
        mut request: Request,
        own: Vec<(HeaderName, HeaderValue)>,
    ) -> Response {
        let upgrade = upgrade(&request);
        let browser = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        let Some(uri) = self.target(&parts.uri) else {
            return plain(StatusCode::BAD_REQUEST, "the request has no path\n".to_owned());
        };
        (parts.uri, parts.version) = (uri, Version::HTTP_11);
        prepare(&mut parts.headers, arrival, upgrade.as_ref());
        // Last, so that nothing that the request says about its connection takes them away.
        for (name, value) in own {
            parts.headers.insert(name, value);
        }
        let answer = self.client.request(Request::from_parts(parts, body));
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(mut answer)) => {
                let application = hyper::upgrade::on(&mut answer);
                let mut answer = answer.map(Body::new);
                match browser {
                    Some(browser) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                        tokio::spawn(tunnel(browser, application));
                    }
                    _ => remove_hop_by_hop(answer.headers_mut()),
                }
                answer
            }
            Ok(Err(error)) if error.is_connect() => self.is_down(&error),
            Ok(Err(error)) => {
                let app = &self.app;
                plain(StatusCode::BAD_GATEWAY, format!("The application at {app} broke off: {}.\n", cause(&error)))
            }
            Err(_) => {
                let (app, seconds) = (&self.app, ANSWER.as_secs());
                let text = format!("The application at {app} has not begun to answer within {seconds} s.\n");
                plain(StatusCode::GATEWAY_TIMEOUT, text)
            }
        }
    }

    fn target(&self, uri: &Uri) -> Option<Uri> {
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let builder = Uri::builder().scheme(Scheme::HTTP).authority(self.app.authority());
        builder.path_and_query(path).build().ok()
    }

    fn is_down(&self, error: &(dyn Error + 'static)) -> Response {
        let (app, cause) = (&self.app, cause(error));
        plain(
            StatusCode::BAD_GATEWAY,
            format!(
                "The application at {app} cannot be reached: {cause}.\n\n\
                 This page is from `chancery serve --dev --app {app}`, which stands in front of it. Start the application \
                 so that it listens there, for instance with `flask run --port PORT`, and load this page again.\n"
            ),
        )
    }
}

/// What lies at the bottom of an error.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The protocol that a request asks to go on with, if that is a web socket. HTTP/2 would carry requests that nobody
/// checks.
fn upgrade(request: &Request) -> Option<HeaderValue> {
    let headers = request.headers();
    let asked = tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let socket = upgrades(headers) == Ok(true);
    headers.get(UPGRADE).filter(|_| asked && socket && request.version() == Version::HTTP_11).cloned()
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION).filter_map(|token| token.parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The headers as the application gets them.
fn prepare(headers: &mut HeaderMap, arrival: &Arrival, upgrade: Option<&HeaderValue>) {
    remove_hop_by_hop(headers);
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    // HTTP/2 may send each cookie by itself (RFC 9113 §8.2.3).
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set("host", &arrival.authority);
    set("x-forwarded-proto", arrival.scheme);
    set("x-forwarded-host", &arrival.authority);
    set("x-forwarded-for", &arrival.client.map(|ip| ip.to_string()).unwrap_or_default());
    headers.remove(header::FORWARDED);
}

/// Carries bytes both ways until one side closes.
async fn tunnel(browser: OnUpgrade, application: OnUpgrade) {
    let both = async {
        let (browser, application) = tokio::try_join!(browser, application)?;
        let (mut browser, mut application) = (TokioIo::new(browser), TokioIo::new(application));
        // An error is the end of one side, as of a closed tab.
        let _ = tokio::io::copy_bidirectional(&mut browser, &mut application).await;
        Ok::<_, hyper::Error>(())
    };
    let _ = tokio::time::timeout(TUNNEL, both).await;
}
