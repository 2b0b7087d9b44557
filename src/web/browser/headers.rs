//! Headers of what browsers get: what a page may load and who may frame it, and what is kept of an answer.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::domain::{branding::LogoUri, site::Site};

/// Which site opened the window of a page (HTML, "cross-origin opener policies").
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
/// Who may load an answer as part of a page (Fetch, "Cross-Origin-Resource-Policy header").
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
/// What a page depends on: it is HTML or JSON, in the reader's language, for whoever the cookies say.
const VARY: HeaderValue = HeaderValue::from_static("accept, accept-language, cookie");

/// Where the forms of a page may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormAction {
    /// To this origin.
    Here,
    /// Anywhere. Chrome applies `form-action` to every redirect after a form, so a form at whose end another origin
    /// stands cannot have it.
    Elsewhere,
}

/// The headers of a page. Its forms stay at this origin. `logo` is the client's, which may be elsewhere.
pub fn page(response: &mut Response, site: &Site, logo: Option<&LogoUri>) {
    page_with(response, site, logo, FormAction::Here);
}

/// The headers of a page whose forms lead somewhere.
pub fn page_with(response: &mut Response, site: &Site, logo: Option<&LogoUri>, forms: FormAction) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // What a logo's origin consists of was checked when it was declared.
    if let Ok(policy) = HeaderValue::try_from(content_policy(logo.and_then(LogoUri::origin), forms)) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(OPENER_POLICY, SAME_ORIGIN);
    headers.insert(header::VARY, VARY);
    private(headers, site);
}

fn content_policy(logo: Option<&str>, forms: FormAction) -> String {
    let logo = logo.map(|origin| format!(" {origin}")).unwrap_or_default();
    let forms = match forms {
        FormAction::Here => "; form-action 'self'",
        FormAction::Elsewhere => "",
    };
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:{logo}; connect-src 'self'; \
         base-uri 'none'; frame-ancestors 'none'{forms}"
    )
}

/// The headers of a redirect.
pub fn redirect(response: &mut Response, site: &Site) {
    response.headers_mut().insert(header::VARY, VARY);
    private(response.headers_mut(), site);
}

/// The headers of a page in JSON.
pub fn step(response: &mut Response, site: &Site) {
    response.headers_mut().insert(header::VARY, VARY);
    json(response, site);
}

/// The headers of an answer in JSON.
pub fn json(response: &mut Response, site: &Site) {
    data(response, site, HeaderValue::from_static("application/json"));
}

/// The headers of an error in JSON (RFC 9457).
pub fn problem(response: &mut Response, site: &Site) {
    response.headers_mut().insert(header::VARY, VARY);
    data(response, site, HeaderValue::from_static("application/problem+json"));
}

/// The headers of a file that the browser is to save.
pub fn download(response: &mut Response, site: &Site, content_type: HeaderValue) {
    data(response, site, content_type);
}

fn data(response: &mut Response, site: &Site, content_type: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
    private(headers, site);
}

/// The headers of a style sheet or a script. Its name changes with its content, so it is kept for good.
pub fn asset(response: &mut Response, site: &Site) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
    everywhere(headers, site);
}

/// An answer in plain text where there is no page, for no site or for none of its pages.
pub fn bare(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = (status, text.into()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    no_site(&mut response);
    response
}

/// The headers of an answer of no site.
pub fn no_site(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// For what is meant for one browser.
fn private(headers: &mut HeaderMap, site: &Site) {
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    // With `no-referrer`, a form without scripts would be sent with `Origin: null`.
    headers.insert(header::REFERRER_POLICY, SAME_ORIGIN);
    everywhere(headers, site);
}

fn everywhere(headers: &mut HeaderMap, site: &Site) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // It holds for all ports of a host, so a demo must not set it for `localhost`. What other hosts below this one do is
    // up to the application, which may send `includeSubDomains` itself.
    if site.is_secure() && !site.is_loopback() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIES: &str = "vary: accept, accept-language, cookie";
    const SHOP: &str = "https://shop.example/auth";
    const CSP: &str = "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; \
                       img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";
    const DATA_CSP: &str = "content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; \
                            frame-ancestors 'none'";

    /// All headers, in the order of their names.
    fn sent(site: &str, add: impl FnOnce(&mut Response, &Site)) -> Vec<String> {
        let mut response = Body::empty().into_response();
        add(&mut response, &site.parse().unwrap());
        let headers = response.headers().iter();
        let mut all: Vec<_> = headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        all.sort();
        all
    }

    #[test]
    fn s12_a_page_has_every_header() {
        let expected = [
            "cache-control: no-store".to_owned(),
            format!("{CSP}; form-action 'self'"),
            "content-type: text/html; charset=utf-8".to_owned(),
            "cross-origin-opener-policy: same-origin".to_owned(),
            "referrer-policy: same-origin".to_owned(),
            "strict-transport-security: max-age=31536000".to_owned(),
            VARIES.to_owned(),
            "x-content-type-options: nosniff".to_owned(),
        ];
        assert_eq!(sent(SHOP, |response, site| page(response, site, None)), expected);
    }

    #[test]
    fn s12_a_page_whose_forms_lead_elsewhere_says_nothing_of_forms() {
        let all = sent(SHOP, |response, site| page_with(response, site, None, FormAction::Elsewhere));
        assert!(all.contains(&CSP.to_owned()) && !all.concat().contains("form-action"));
    }

    #[test]
    fn a_logo_elsewhere_is_admitted_as_a_picture_and_nothing_else() {
        let logo: LogoUri = "https://cdn.example/logo.svg?v=1".parse().unwrap();
        let all = sent(SHOP, |response, site| page(response, site, Some(&logo)));
        let policy = CSP.replace("data:", "data: https://cdn.example") + "; form-action 'self'";
        assert!(all.contains(&policy), "{all:?}");
        let here: LogoUri = "/logo.svg".parse().unwrap();
        assert!(
            sent(SHOP, |response, site| page(response, site, Some(&here)))
                .contains(&format!("{CSP}; form-action 'self'"))
        );
    }

    #[test]
    fn redirects_and_data_are_kept_nowhere() {
        let private = [
            "cache-control: no-store",
            "referrer-policy: same-origin",
            "strict-transport-security: max-age=31536000",
            "x-content-type-options: nosniff",
        ];
        let sorted = |mut all: Vec<&str>| {
            all.sort_unstable();
            all.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(sent(SHOP, redirect), sorted(private.into_iter().chain([VARIES]).collect()));
        for (content_type, varies, all) in [
            ("application/json", None, sent(SHOP, json)),
            ("application/json", Some(VARIES), sent(SHOP, step)),
            ("application/problem+json", Some(VARIES), sent(SHOP, problem)),
            (
                "application/zip",
                None,
                sent(SHOP, |r, site| download(r, site, HeaderValue::from_static("application/zip"))),
            ),
        ] {
            let content_type = format!("content-type: {content_type}");
            let own = [DATA_CSP, &content_type, "cross-origin-resource-policy: same-origin"];
            let expected = sorted(private.into_iter().chain(own).chain(varies).collect());
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn assets_are_kept_for_good() {
        let expected = [
            "cache-control: public, max-age=31536000, immutable",
            "cross-origin-resource-policy: same-origin",
            "strict-transport-security: max-age=31536000",
            "x-content-type-options: nosniff",
        ];
        assert_eq!(sent(SHOP, asset), expected);
    }

    #[test]
    fn loopback_is_never_told_to_use_tls_alone() {
        for site in ["http://localhost:8000/auth", "http://127.0.0.1:8000/auth", "https://localhost:8443/auth"] {
            for all in
                [sent(site, |r, site| page(r, site, None)), sent(site, redirect), sent(site, asset), sent(site, json)]
            {
                assert!(!all.concat().contains("strict-transport"), "{site}");
            }
        }
    }
}
