//! What browsers send, and what is declared as a site.

use ulid::Ulid;
use zeroize::Zeroizing;

use super::{NOW, key, owned, text};
use crate::{
    domain::{
        flow::{FlowState, Prompt, Required},
        return_path::ReturnPath,
        site::{Site, origin_of},
    },
    entropy::SeededEntropy,
    id::{SessionId, VisitorId},
    keys::{
        flow_seal,
        form_id::{self, FormId},
        session_cookie::{self, ReadCookie},
        visitor_cookie,
    },
    secret::SessionSecret,
    time::Ttl,
    web::browser::{
        cookies::{CookieKind, CookieNames, MAX_DEVICES, RequestCookies},
        form::{Form, MAX_BODY, MAX_FIELDS},
    },
};

fn sites() -> Vec<Site> {
    let sites = ["https://shop.example/auth", "http://localhost:8000/my/auth"];
    sites.iter().filter_map(|site| site.parse().ok()).collect()
}

/// A `Cookie` header. What is read stood there, under its exact name.
pub(super) fn cookies(data: &[u8]) -> bool {
    let Ok(value) = http::HeaderValue::from_bytes(data) else { return false };
    let headers = http::HeaderMap::from_iter([(http::header::COOKIE, value)]);
    let mut any = false;
    for names in sites().iter().map(CookieNames::of) {
        let cookies = RequestCookies::read(&headers, &names);
        let one = [(CookieKind::Visitor, cookies.visitor()), (CookieKind::Session, cookies.session())];
        for (kind, value) in one.into_iter().filter_map(|(kind, value)| Some((kind, value?))) {
            let pair = format!("{}={value}", names.name(kind));
            assert!(data.windows(pair.len()).filter(|window| *window == pair.as_bytes()).count() >= 1, "{pair}");
            assert!(cookies.was_sent(kind) && !cookies.is_unusable(kind));
            any = true;
        }
        assert!(cookies.devices().len() <= MAX_DEVICES);
        any |= !cookies.devices().is_empty();
        if let Some(tag) = cookies.language() {
            assert!(names.language(tag).is_some(), "{tag}");
            any = true;
        }
    }
    any
}

pub(super) fn cookies_seeds() -> Vec<Vec<u8>> {
    owned(&[
        "__Host-chancery-visitor=chv_a; __Host-chancery-session=chb_b; other=\"x, y\"",
        "chancery-devices-8000=chd_a.chd_b; chancery-lang-8000=de-AT; chancery-session-8000=chb_-_",
        "__Host-chancery-session=chb_a; __Host-chancery-session=chb_b; __Host-chancery-lang=en",
    ])
}

/// A session cookie has exactly one spelling.
pub(super) fn session_cookie(data: &[u8]) -> bool {
    let Some(cookie) = text(data) else { return false };
    let Some(ReadCookie { session, secret, kept }) = session_cookie::parse(&key(), cookie) else { return false };
    assert!(session_cookie::mint(&key(), &session, &secret, kept).expose() == cookie, "one spelling");
    true
}

pub(super) fn session_cookie_seeds() -> Vec<Vec<u8>> {
    let mint = |byte: u8| {
        let session = SessionId::from_ulid(Ulid::from_bytes([byte; 16]));
        let secret = SessionSecret(Zeroizing::new([byte; 32]));
        session_cookie::mint(&key(), &session, &secret, byte == 7).expose().as_bytes().to_vec()
    };
    [0, 7, 255].map(mint).into()
}

/// A visitor's cookie has exactly one spelling.
pub(super) fn visitor_cookie(data: &[u8]) -> bool {
    let Some(cookie) = text(data) else { return false };
    let Some((visitor, day)) = visitor_cookie::parse(&key(), cookie) else { return false };
    assert!(visitor_cookie::mint(&key(), &visitor, day).expose() == cookie, "one spelling");
    true
}

pub(super) fn visitor_cookie_seeds() -> Vec<Vec<u8>> {
    let mint = |day| visitor_cookie::mint(&key(), &VisitorId([7; 16]), day).expose().as_bytes().to_vec();
    [0, 21_915, u32::MAX].map(mint).into()
}

/// The state of a flow, sealed or not: what is inside is of this server, but of any version. It stays what it is.
pub(super) fn flow(data: &[u8]) -> bool {
    let mut any = false;
    for site in sites() {
        let sealed = text(data).and_then(|r| flow_seal::open_state(&key(), r, &site));
        for state in sealed.into_iter().chain(FlowState::from_bytes(data, &site)) {
            assert_eq!(FlowState::from_bytes(&state.to_bytes(), &site).as_ref(), Some(&state));
            assert!(state.destination(&site).starts_with(&format!("{}/", site.origin())));
            any = true;
        }
    }
    any
}

pub(super) fn flow_seeds() -> Vec<Vec<u8>> {
    let Some((site, client)) = sites().into_iter().next().zip("shop".parse().ok()) else { return Vec::new() };
    let required =
        Required { acr: Some("2".to_owned()), max_age: Some(Ttl::from_secs(5)), prompt: Some(Prompt::Login) };
    let plain = FlowState::new(&site, &client, Some("/basket?x=\"1\""), NOW);
    let full = FlowState::new(&site, &client, None, NOW).requiring(required);
    let r = flow_seal::seal_state(&key(), &plain, &SeededEntropy::new(4));
    vec![plain.to_bytes(), full.to_bytes(), r.into_bytes()]
}

/// The sealed id of a form.
pub(super) fn form_id(data: &[u8]) -> bool {
    let Some(form) = text(data).and_then(|text| form_id::parse(&key(), text)) else { return false };
    let again = form_id::mint(&key(), &form, &SeededEntropy::new(5));
    assert_eq!(form_id::parse(&key(), &again), Some(form));
    true
}

pub(super) fn form_id_seeds() -> Vec<Vec<u8>> {
    let entropy = SeededEntropy::new(6);
    let form = FormId::new("https://shop.example", VisitorId([7; 16]), NOW, &entropy);
    vec![form_id::mint(&key(), &form, &entropy).into_bytes()]
}

/// A form. What is read means the same when every byte of it is written as an escape.
pub(super) fn form(data: &[u8]) -> bool {
    let json = form_in_json(data);
    let Ok(form) = Form::parse(data) else { return json };
    let escaped = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
    let pairs: Vec<_> = form.names().map(|name| format!("{}={}", escaped(name), escaped(form.text(name)))).collect();
    let again = pairs.join("&");
    assert!(pairs.len() <= MAX_FIELDS);
    if again.len() <= MAX_BODY {
        let again = Form::parse(again.as_bytes());
        let same =
            again.is_ok_and(|again| form.names().all(|name| again.has(name) && again.text(name) == form.text(name)));
        assert!(same, "{}", String::from_utf8_lossy(data));
    }
    true
}

/// The same in JSON.
fn form_in_json(data: &[u8]) -> bool {
    let Ok(form) = Form::parse_json(data) else { return false };
    let fields: Vec<_> = form.names().map(|name| (name.to_owned(), form.text(name).into())).collect();
    assert!(fields.len() <= MAX_FIELDS);
    let again = serde_json::Value::Object(fields.into_iter().collect()).to_string();
    if again.len() <= MAX_BODY {
        let again = Form::parse_json(again.as_bytes());
        let same =
            again.is_ok_and(|again| form.names().all(|name| again.has(name) && again.text(name) == form.text(name)));
        assert!(same, "{}", String::from_utf8_lossy(data));
    }
    true
}

pub(super) fn form_seeds() -> Vec<Vec<u8>> {
    owned(&[
        "",
        "{\"username\": \"ada@example.com\", \"password\": \"\\u00e4+&\", \"shared_computer\": true, \"x\": false}",
        "username=ada%40example.com&password=%2B+%26%3D%25%C3%A4&csrf=x",
        "a&b=&&c=%zz&d=100%",
    ])
}

/// Where to go on to. It is at the site, however it is resolved.
pub(super) fn return_path(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let mut any = false;
    for site in sites() {
        let Some(path) = ReturnPath::parse(text, &site) else { continue };
        let rest = path.url(&site).strip_prefix(site.origin()).map(str::to_owned).unwrap_or_default();
        assert!(rest == text && rest.starts_with('/') && !rest.starts_with("//") && !rest.contains('\\'), "{text:?}");
        assert!(!site.owns(rest.split(['?', '#']).next().unwrap_or_default()), "{text:?}");
        any = true;
    }
    any
}

pub(super) fn return_path_seeds() -> Vec<Vec<u8>> {
    owned(&["/", "/basket?x=1&next=https://evil.example/#top", "/a%2fb/..c/%2e-/", "/authors/my/auth"])
}

/// The URL of a site. It is written in one way, which is read as the same.
pub(super) fn site(data: &[u8]) -> bool {
    let Some(site) = text(data).and_then(|text| text.parse::<Site>().ok()) else { return false };
    assert_eq!(site.to_string().parse::<Site>().as_ref(), Ok(&site));
    let scheme = if site.is_secure() { "https" } else { "http" };
    assert_eq!(origin_of(scheme, site.authority()).as_deref(), Some(site.origin()));
    assert!(site.origin().is_ascii() && site.owns(&site.path("login")) && !site.owns("/"));
    true
}

pub(super) fn site_seeds() -> Vec<Vec<u8>> {
    owned(&[
        "https://shop.example/auth",
        "HTTPS://Shop.Example:8443/a/b-c/",
        "http://localhost:8000/auth",
        "http://[::1]:5000/auth",
        "https://192.0.2.1/auth",
    ])
}
