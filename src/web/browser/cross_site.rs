//! What another site may make a browser do here: look, but change nothing.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::domain::site::Site;

/// Where a request comes from, seen from its target (Fetch Metadata).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// How it was made.
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// What it is for.
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// Set to `script` by browsers that fetch a service worker.
const SERVICE_WORKER: HeaderName = HeaderName::from_static("service-worker");

/// Why a request that would change something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossSite {
    /// Another site, or another host of the same site, made the browser send it.
    Elsewhere,
    /// Nobody made the browser send it, and nothing shows that one of our forms was open.
    NoForm,
    /// The page that sent it has another origin.
    OtherOrigin,
    /// It does not say where it comes from.
    Unknown,
}

impl CrossSite {
    /// A name for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Elsewhere => "elsewhere",
            Self::NoForm => "no_form",
            Self::OtherOrigin => "other_origin",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether a method may change something (RFC 9110 §9.2.1). The method is the one in the request line: no header and no
/// field of a form overrides it.
#[must_use]
pub fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Checks a request with an unsafe method. The form token counts only where the browser says that nobody else made it
/// send the request, such as after a reload.
///
/// # Errors
/// It is not known to come from this origin.
pub fn check_unsafe(headers: &HeaderMap, site: &Site, has_valid_form_token: bool) -> Result<(), CrossSite> {
    match values(headers, &SITE)[..] {
        [b"same-origin"] => Ok(()),
        [b"none"] if has_valid_form_token => Ok(()),
        [b"none"] => Err(CrossSite::NoForm),
        // Older browsers. The origin is compared as it is written; there is no such thing as an equal one.
        [] => match values(headers, &header::ORIGIN)[..] {
            [origin] if origin == site.origin().as_bytes() => Ok(()),
            [] => Err(CrossSite::Unknown),
            _ => Err(CrossSite::OtherOrigin),
        },
        _ => Err(CrossSite::Elsewhere),
    }
}

/// Whether a script of this origin reads something. Browsers without Fetch Metadata do not say; for them it is the policy
/// of the same origin that keeps others from reading.
#[must_use]
pub fn is_same_origin_read(headers: &HeaderMap) -> bool {
    matches!(values(headers, &SITE)[..], [] | [b"same-origin" | b"none"])
}

/// Whether a browser fetches a script that would see every request of the pages.
#[must_use]
pub fn is_service_worker(headers: &HeaderMap) -> bool {
    headers.contains_key(SERVICE_WORKER)
}

/// Whether somebody waits for a page, rather than a script for an answer: only people are led to the sign-in form.
#[must_use]
pub fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let is = |name: &HeaderName, value: &[u8]| values(headers, name)[..] == [value];
    if headers.keys().any(|name| name.as_str().starts_with("sec-fetch-")) {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        return reads && is(&MODE, b"navigate") && is(&DEST, b"document");
    }
    *method == Method::GET && headers.get_all(header::ACCEPT).iter().any(|accept| accepts_html(accept.as_bytes()))
}

/// Whether an `Accept` header names HTML. Programs send `*/*` or nothing.
fn accepts_html(accept: &[u8]) -> bool {
    accept.split(|b| *b == b',').any(|range| {
        let mut parts = range.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"));
        html && !parts.any(is_zero)
    })
}

/// Whether a parameter says that something is not wanted: `q=0`, `q=0.000`.
fn is_zero(parameter: &[u8]) -> bool {
    let weight = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="));
    weight.is_some_and(|weight| !weight.is_empty() && weight.iter().all(|b| matches!(b, b'0' | b'.')))
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        "https://shop.example/auth".parse().unwrap()
    }

    fn headers(pairs: Pairs<'_>) -> HeaderMap {
        let mut out = HeaderMap::new();
        for (name, value) in pairs {
            out.append(*name, HeaderValue::from_str(value).unwrap());
        }
        out
    }

    const OURS: &str = "https://shop.example";
    use CrossSite::{Elsewhere, NoForm, OtherOrigin, Unknown};

    type Pairs<'a> = &'a [(&'static str, &'a str)];
    /// Headers, and what becomes of them without a form token and with one.
    type Case = (Pairs<'static>, Result<(), CrossSite>, Result<(), CrossSite>);

    #[test]
    fn s05_every_combination_of_headers_has_its_answer() {
        let cases: &[Case] = &[
            (&[("sec-fetch-site", "same-origin")], Ok(()), Ok(())),
            (&[("sec-fetch-site", "same-origin"), ("origin", OURS)], Ok(()), Ok(())),
            // With `Referrer-Policy: no-referrer`, a native form has such an origin. Ours have another policy.
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], Ok(()), Ok(())),
            (&[("sec-fetch-site", "none")], Err(NoForm), Ok(())),
            (&[("sec-fetch-site", "none"), ("origin", OURS)], Err(NoForm), Ok(())),
            (&[("sec-fetch-site", "same-site")], Err(Elsewhere), Err(Elsewhere)),
            (&[("sec-fetch-site", "same-site"), ("origin", OURS)], Err(Elsewhere), Err(Elsewhere)),
            (&[("sec-fetch-site", "cross-site")], Err(Elsewhere), Err(Elsewhere)),
            (&[("sec-fetch-site", "cross-site"), ("origin", OURS)], Err(Elsewhere), Err(Elsewhere)),
            (&[("sec-fetch-site", "")], Err(Elsewhere), Err(Elsewhere)),
            (&[("sec-fetch-site", "Same-Origin")], Err(Elsewhere), Err(Elsewhere)),
            (&[("sec-fetch-site", "same-origin, same-origin")], Err(Elsewhere), Err(Elsewhere)),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], Err(Elsewhere), Err(Elsewhere)),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")], Err(Elsewhere), Err(Elsewhere)),
            (&[("sec-fetch-site", "anything")], Err(Elsewhere), Err(Elsewhere)),
            (&[("origin", OURS)], Ok(()), Ok(())),
            (&[("origin", "null")], Err(OtherOrigin), Err(OtherOrigin)),
            (&[("origin", "")], Err(OtherOrigin), Err(OtherOrigin)),
            (&[("origin", "https://shop.example/")], Err(OtherOrigin), Err(OtherOrigin)),
            (&[("origin", "https://shop.example:443")], Err(OtherOrigin), Err(OtherOrigin)),
            (&[("origin", "https://SHOP.example")], Err(OtherOrigin), Err(OtherOrigin)),
            (&[("origin", "http://shop.example")], Err(OtherOrigin), Err(OtherOrigin)),
            (&[("origin", "https://shop.example.evil")], Err(OtherOrigin), Err(OtherOrigin)),
            (&[("origin", "https://a.shop.example")], Err(OtherOrigin), Err(OtherOrigin)),
            (&[("origin", OURS), ("origin", OURS)], Err(OtherOrigin), Err(OtherOrigin)),
            (&[("origin", OURS), ("origin", "https://evil.example")], Err(OtherOrigin), Err(OtherOrigin)),
            (&[("referer", "https://shop.example/auth/login")], Err(Unknown), Err(Unknown)),
            (&[], Err(Unknown), Err(Unknown)),
        ];
        for (pairs, without, with) in cases {
            assert_eq!(check_unsafe(&headers(pairs), &site(), false), *without, "{pairs:?}");
            assert_eq!(check_unsafe(&headers(pairs), &site(), true), *with, "{pairs:?} with a form token");
        }
    }

    #[test]
    fn an_origin_with_a_port_is_the_same_byte_for_byte() {
        let site: Site = "http://localhost:8000/auth".parse().unwrap();
        for (origin, good) in [
            ("http://localhost:8000", true),
            ("http://localhost", false),
            ("http://127.0.0.1:8000", false),
            ("https://localhost:8000", false),
        ] {
            assert_eq!(check_unsafe(&headers(&[("origin", origin)]), &site, false).is_ok(), good, "{origin}");
        }
    }

    #[test]
    fn a39_a_method_is_the_one_in_the_request_line() {
        for (method, changes) in [
            ("GET", false),
            ("HEAD", false),
            ("OPTIONS", false),
            ("POST", true),
            ("PUT", true),
            ("DELETE", true),
            ("X", true),
        ] {
            assert_eq!(is_unsafe(&method.parse().unwrap()), changes, "{method}");
        }
        assert!(is_unsafe(&"get".parse().unwrap()), "methods are case-sensitive (RFC 9110 §9.1)");
    }

    #[test]
    fn somebody_waits_for_a_page_only_in_a_navigation() {
        let navigate = &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")][..];
        let cases: &[(&str, Pairs<'_>, bool)] = &[
            ("GET", navigate, true),
            ("HEAD", navigate, true),
            ("POST", navigate, false),
            ("GET", &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], false),
            ("GET", &[("sec-fetch-mode", "navigate")], false),
            ("GET", &[("sec-fetch-dest", "document")], false),
            ("GET", &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), ("accept", "text/html")], false),
            ("GET", &[("sec-fetch-site", "same-origin"), ("accept", "text/html")], false),
            ("GET", &[("sec-fetch-user", "?1"), ("accept", "text/html")], false),
            ("GET", &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")], true),
            ("GET", &[("accept", "application/json"), ("accept", "TEXT/HTML;q=0.5")], true),
            ("HEAD", &[("accept", "text/html")], false),
            ("POST", &[("accept", "text/html")], false),
            ("GET", &[("accept", "text/html;q=0")], false),
            ("GET", &[("accept", "text/html; charset=utf-8 ; q=0.000")], false),
            ("GET", &[("accept", "*/*")], false),
            ("GET", &[("accept", "text/*")], false),
            ("GET", &[("accept", "application/json")], false),
            ("GET", &[], false),
        ];
        for (method, pairs, expected) in cases {
            assert_eq!(is_navigation(&method.parse().unwrap(), &headers(pairs)), *expected, "{method} {pairs:?}");
        }
    }

    #[test]
    fn service_workers_and_reads_of_other_sites_are_noticed() {
        assert!(is_service_worker(&headers(&[("service-worker", "script")])));
        assert!(!is_service_worker(&headers(&[("sec-fetch-dest", "script")])));
        for (value, good) in [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)] {
            assert_eq!(is_same_origin_read(&headers(&[("sec-fetch-site", value)])), good, "{value}");
        }
        assert!(is_same_origin_read(&headers(&[])));
    }
}
