use proptest::prelude::*;
use serde_json::json;

use super::*;

fn site(text: &str) -> Site {
    text.parse().unwrap()
}

#[test]
fn a_site_is_an_origin_and_a_prefix_as_browsers_write_them() {
    for (text, origin, authority, port, prefix, key) in [
        ("https://shop.example/auth", "https://shop.example", "shop.example", 443, "/auth", "shop.example"),
        ("HTTPS://Shop.EXAMPLE:443/auth/", "https://shop.example", "shop.example", 443, "/auth", "shop.example"),
        (
            "https://shop.example:8443/a/b.c",
            "https://shop.example:8443",
            "shop.example:8443",
            8443,
            "/a/b.c",
            "shop.example",
        ),
        ("https://192.0.2.1/auth", "https://192.0.2.1", "192.0.2.1", 443, "/auth", "192.0.2.1"),
        ("https://[2001:DB8:0::1]/auth", "https://[2001:db8::1]", "[2001:db8::1]", 443, "/auth", "[2001:db8::1]"),
        (
            "https://xn--bcher-kva.example/auth",
            "https://xn--bcher-kva.example",
            "xn--bcher-kva.example",
            443,
            "/auth",
            "xn--bcher-kva.example",
        ),
        ("http://localhost:8000/auth", "http://localhost:8000", "localhost:8000", 8000, "/auth", "localhost:8000"),
        ("http://localhost:80/auth", "http://localhost", "localhost", 80, "/auth", "localhost:80"),
        ("http://127.0.0.1/auth", "http://127.0.0.1", "127.0.0.1", 80, "/auth", "127.0.0.1:80"),
        ("http://[::1]:8080/auth", "http://[::1]:8080", "[::1]:8080", 8080, "/auth", "[::1]:8080"),
        ("https://localhost:8443/auth", "https://localhost:8443", "localhost:8443", 8443, "/auth", "localhost"),
    ] {
        let site = site(text);
        assert_eq!(site.origin(), origin, "{text}");
        assert_eq!(site.authority(), authority, "{text}");
        assert_eq!((site.port(), site.prefix(), site.home()), (port, prefix, "/"), "{text}");
        assert_eq!((site.key().as_str(), site.is_secure()), (key, origin.starts_with("https")), "{text}");
    }
}

#[test]
fn each_fault_of_a_site_has_an_error_of_its_own() {
    use HostFault::{Address, Missing, Name, NotAscii};
    use SiteError as E;
    let long = format!("https://shop.example/{}", "a".repeat(500));
    for (text, error) in [
        (long.as_str(), E::TooLong),
        ("", E::Scheme),
        ("shop.example/auth", E::Scheme),
        ("ftp://shop.example/auth", E::Scheme),
        ("https:/shop.example/auth", E::Scheme),
        ("https://ada@shop.example/auth", E::User),
        ("https://ada:pw@shop.example/auth", E::User),
        ("https://shop.example/auth?x", E::Query),
        ("https://shop.example/auth#x", E::Query),
        ("https://shop.example?x", E::Query),
        ("https:///auth", E::Host(Missing)),
        ("https://:443/auth", E::Host(Missing)),
        ("https://bücher.example/auth", E::Host(NotAscii("xn--bcher-kva.example".to_owned()))),
        ("https://shop.example./auth", E::Host(Name)),
        ("https://-shop.example/auth", E::Host(Name)),
        ("https://shop..example/auth", E::Host(Name)),
        ("https://sh op.example/auth", E::Host(Name)),
        ("https://shop%2eexample/auth", E::Host(Name)),
        ("https://*.example/auth", E::Host(Name)),
        ("https://1.2.3/auth", E::Host(Address)),
        ("https://192.0.2.01/auth", E::Host(Address)),
        ("https://0x7f000001/auth", E::Host(Address)),
        ("https://[::1/auth", E::Host(Address)),
        ("https://[fe80::1%25eth0]/auth", E::Host(Address)),
        ("https://shop.example:/auth", E::Port),
        ("https://shop.example:0/auth", E::Port),
        ("https://shop.example:0443/auth", E::Port),
        ("https://shop.example:65536/auth", E::Port),
        ("https://shop.example:+1/auth", E::Port),
        ("http://shop.example/auth", E::Plaintext),
        ("http://192.0.2.1:8000/auth", E::Plaintext),
        ("http://localhost.example/auth", E::Plaintext),
        ("https://shop.example", E::NoPrefix),
        ("https://shop.example/", E::NoPrefix),
        ("https://shop.example//", E::Prefix),
        ("https://shop.example//auth", E::Prefix),
        ("https://shop.example/a/../b", E::Prefix),
        ("https://shop.example/.", E::Prefix),
        ("https://shop.example/a%2fb", E::Prefix),
        ("https://shop.example/a b", E::Prefix),
        ("https://shop.example\\auth", E::Prefix),
        ("https://shop.example/.well-known/x", E::Reserved(".well-known")),
        ("https://shop.example/oauth2", E::Reserved("oauth2")),
        ("https://shop.example/Assets/a", E::Reserved("assets")),
        ("https://shop.example/statuslists", E::Reserved("statuslists")),
        ("https://shop.example/dev", E::Reserved("dev")),
    ] {
        assert_eq!(text.parse::<Site>(), Err(error), "{text}");
    }
    assert!("https://shop.example/developers".parse::<Site>().is_ok());
}

#[test]
fn a_home_is_a_path_at_the_site_outside_the_prefix() {
    let site = site("https://shop.example/auth");
    for good in ["/", "/welcome", "/welcome?a=b&c=//d", "/#/home", "/authors", "/a.b/..c/", "/x?next=../y"] {
        assert_eq!(site.with_home(good).unwrap().home(), good);
    }
    let long = format!("/{}", "a".repeat(2048));
    for bad in [
        "",
        "welcome",
        "//evil.example",
        "/\\evil.example",
        "/a\\b",
        "/a b",
        "/ä",
        "/a\r\nb",
        "https://evil.example/",
        "/../auth",
        "/a/%2E%2e/auth",
        "/./x",
        &long,
    ] {
        assert_eq!(site.with_home(bad), Err(SiteError::Home), "{bad}");
    }
    for below in ["/auth", "/auth/", "/auth/login", "/auth?x", "/auth#x"] {
        assert_eq!(site.with_home(below), Err(SiteError::HomeBelowPrefix("/auth".to_owned())), "{below}");
    }
}

#[test]
fn paths_and_urls_of_pages_are_made_from_the_site() {
    let site = site("http://localhost:8000/auth").with_home("/shop").unwrap();
    for (below, path) in [("", "/auth"), ("/", "/auth"), ("login", "/auth/login"), ("/login?r=x", "/auth/login?r=x")] {
        assert_eq!(site.path(below), path);
        assert_eq!(site.url(below), format!("http://localhost:8000{path}"));
    }
    assert_eq!(site.home_url(), "http://localhost:8000/shop");
    assert!(site.owns("/auth") && site.owns("/auth/") && site.owns("/auth/login"));
    assert!(!site.owns("/authors") && !site.owns("/") && !site.owns("/AUTH") && !site.owns(""));
}

#[test]
fn a_site_is_stored_as_its_url_and_its_home() {
    let plain = site("https://shop.example/auth");
    assert_eq!(serde_json::to_value(&plain).unwrap(), json!({ "url": "https://shop.example/auth" }));
    let with_home = plain.with_home("/welcome").unwrap();
    let stored = serde_json::to_value(&with_home).unwrap();
    assert_eq!(stored, json!({ "url": "https://shop.example/auth", "home": "/welcome" }));
    assert_eq!(serde_json::from_value::<Site>(stored).unwrap(), with_home);
}

#[test]
fn the_origin_of_a_request_is_written_as_that_of_a_site() {
    for (scheme, authority, origin) in [
        ("https", "shop.example", Some("https://shop.example")),
        ("https", "Shop.Example:443", Some("https://shop.example")),
        ("https", "shop.example:80", Some("https://shop.example:80")),
        ("http", "localhost:80", Some("http://localhost")),
        ("http", "[::1]:8080", Some("http://[::1]:8080")),
        ("http", "[::1]", Some("http://[::1]")),
        ("HTTPS", "shop.example", None),
        ("wss", "shop.example", None),
        ("https", "", None),
        ("https", "shop.example:", None),
        ("https", "shop.example:0443", None),
        ("https", "shop.example:443:443", Some("https://shop.example:443")),
        ("https", "ada@shop.example", None),
        ("https", "shop.example/x", None),
        ("https", "shop.example, evil.example", None),
    ] {
        assert_eq!(origin_of(scheme, authority).as_deref(), origin, "{scheme} {authority}");
    }
}

proptest! {
    #[test]
    fn a_site_survives_being_written_and_read(
        host in "[a-z][a-z0-9]{0,9}(\\.[a-z][a-z0-9]{0,9}){0,3}",
        port in proptest::option::of(1u16..),
        prefix in "(/[a-z0-9._~-]{0,5}[a-z0-9]){1,3}",
    ) {
        let port = port.map(|p| format!(":{p}")).unwrap_or_default();
        if let Ok(site) = format!("https://{host}{port}{prefix}").parse::<Site>() {
            prop_assert_eq!(&site.to_string().parse::<Site>().unwrap(), &site);
            let origin = origin_of("https", site.authority());
            prop_assert_eq!(origin.as_deref(), Some(site.origin()));
            let with_port = origin_of("https", &format!("{}:{}", site.host(), site.port()));
            prop_assert_eq!(with_port.as_deref(), Some(site.origin()));
        }
    }

    #[test]
    fn no_text_makes_a_site_of_another_origin_than_it_says(text in "\\PC{0,40}") {
        if let Ok(site) = format!("https://{text}").parse::<Site>() {
            prop_assert!(site.to_string().is_ascii());
            prop_assert!(site.origin().starts_with("https://") && site.prefix().starts_with('/'));
            prop_assert_eq!(site.to_string().parse::<Site>().unwrap(), site);
        }
    }

    #[test]
    fn no_home_leads_elsewhere(home in "[/\\\\a-z.%2eE?#:@ ]{0,12}") {
        let site = site("https://shop.example/auth");
        if let Ok(site) = site.with_home(&home) {
            let url = origin_in_a_browser(&site.home_url());
            prop_assert_eq!(url, "https://shop.example");
        }
    }
}

/// The origin that a URL has for whoever resolves it as browsers do: a backslash is a slash.
fn origin_in_a_browser(url: &str) -> String {
    let url = url.replace('\\', "/");
    let rest = url.strip_prefix("https://").unwrap();
    format!("https://{}", rest.split('/').next().unwrap())
}
