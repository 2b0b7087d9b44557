//! `GET /dev/mail`: the mails of a demo, kept instead of sent.

use std::{fmt::Write, net::IpAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority},
    response::{Html, IntoResponse, Response},
    routing::get,
};

use super::accept::prefers_json;
use crate::mail::{Kept, KeptMail};

/// The route. Unlike the public routes, it allows no other origin to read it.
pub fn routes(kept: Arc<Kept>) -> Router {
    Router::new().route("/dev/mail", get(mails)).with_state(kept)
}

/// Lists the mails, newest first, as HTML or JSON.
async fn mails(State(kept): State<Arc<Kept>>, uri: Uri, headers: HeaderMap) -> Response {
    if !host_is_loopback(&uri, &headers) {
        return (StatusCode::FORBIDDEN, "this page is served on http://localhost and loopback addresses only\n")
            .into_response();
    }
    let mails = kept.newest();
    let mut response =
        if prefers_json(&headers) { Json(mails).into_response() } else { Html(page(&mails)).into_response() };
    let out = response.headers_mut();
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    out.insert(header::VARY, HeaderValue::from_static("accept"));
    out.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    out.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// Whether the request names a loopback host. Any other name could be DNS rebinding.
pub(super) fn host_is_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).and_then(|h| h.parse::<Authority>().ok());
    // HTTP/2 carries the host in the request URI.
    host.as_ref().or(uri.authority()).is_some_and(|authority| {
        let host = authority.host().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

fn page(mails: &[KeptMail]) -> String {
    let mut page = "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Mails of the demo</title>\n\
        <style>body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}\
        pre{white-space:pre-wrap;background:#f4f4f4;padding:1em}</style>\n<h1>Mails of the demo</h1>\n\
        <p>Newest first. They were not sent to anybody, and end with this process.</p>\n"
        .to_owned();
    if mails.is_empty() {
        page += "<p>There are none yet.</p>\n";
    }
    for mail in mails {
        // Writing into a String cannot fail.
        let _ = write_mail(&mut page, mail);
    }
    page
}

fn write_mail(page: &mut String, mail: &KeptMail) -> std::fmt::Result {
    let KeptMail { subject, to, kind, sent_at, text, .. } = mail;
    writeln!(page, "<article>\n<h2>{}</h2>", escape_html(subject))?;
    writeln!(
        page,
        "<p>{} to {}, {}</p>\n<pre>{}</pre>",
        escape_html(kind),
        escape_html(to),
        escape_html(sent_at),
        escape_html(text)
    )?;
    for link in &mail.links {
        let link = escape_html(link);
        writeln!(page, "<p><a rel=\"noreferrer\" href=\"{link}\">{link}</a></p>")?;
    }
    writeln!(page, "</article>")
}

/// Escapes text for HTML, including quoted attributes.
pub(super) fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}
