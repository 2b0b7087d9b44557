//! Where somebody goes when a page has done its work: a path at the site, never another host.

use std::fmt;

use super::site::Site;

/// A path at the origin of a site, with what follows it, outside the prefix of the pages.
///
/// It is accepted once, when the state of a flow is sealed. Redirects are always to the declared origin and this path,
/// so that a browser has nothing to resolve and no spelling of another host is left.
#[derive(Clone, PartialEq, Eq)]
pub struct ReturnPath(String);

impl ReturnPath {
    /// The most bytes.
    pub const MAX: usize = 2048;

    /// Reads what an application asked for. Returns nothing unless it begins with one slash, is visible ASCII without
    /// backslashes, has at most 2048 bytes, and every browser and proxy sees a path outside the prefix in it.
    #[must_use]
    pub fn parse(text: &str, site: &Site) -> Option<Self> {
        let visible = text.len() <= Self::MAX && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        let one_slash = text.starts_with('/') && !text.starts_with("//");
        (visible && one_slash && is_outside(text, site)).then(|| Self(text.to_owned()))
    }

    /// The path, with what follows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole URL, for `Location`.
    #[must_use]
    pub fn url(&self, site: &Site) -> String {
        format!("{}{}", site.origin(), self.0)
    }
}

/// Whether the path is outside the prefix, however it is read: some proxies decode it before they choose where a request
/// goes, resolve `..` and `.`, or make one slash of several. What they could read differently is refused, and so is a
/// prefix in other letters.
fn is_outside(text: &str, site: &Site) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let path = decoded(path);
    if path.contains(&b'\\') || path.split(|b| *b == b'/').any(|segment| segment == b"." || segment == b"..") {
        return false;
    }
    let mut segments = path.split(|b| *b == b'/').filter(|segment| !segment.is_empty());
    let mut prefix = site.prefix().split('/').filter(|segment| !segment.is_empty());
    !prefix.all(|of_prefix| segments.next().is_some_and(|segment| segment.eq_ignore_ascii_case(of_prefix.as_bytes())))
}

/// Decodes `%41`. What is no such escape stays.
fn decoded(path: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.split_first_chunk::<2>().filter(|_| first == b'%');
        let byte = digits.and_then(|([high, low], after)| Some((hex(*high)? << 4 | hex(*low)?, after)));
        let (byte, after) = byte.unwrap_or((first, after));
        out.push(byte);
        rest = after;
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl fmt::Debug for ReturnPath {
    /// Without what follows the path: an application may put secrets there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReturnPath({}…)", self.0.split(['?', '#']).next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site() -> Site {
        "https://shop.example/auth".parse().unwrap()
    }

    #[test]
    fn s13_a_path_at_the_site_is_taken_as_it_is() {
        for good in [
            "/",
            "/basket",
            "/a/b.html?x=1&y=//evil.example#part",
            "/search?q=%22shoes%22&next=https://evil.example/",
            "/authors",
            "/authors/../x?".replace("../", "").as_str(),
            "/basket/auth",
            "/.hidden/...",
            "/100%",
            "/%zz",
            "/a//b",
            "/@evil.example",
            "/\"<>`{}|^",
        ] {
            let path = ReturnPath::parse(good, &site()).unwrap();
            assert_eq!(path.as_str(), good);
            assert_eq!(path.url(&site()), format!("https://shop.example{good}"));
        }
    }

    #[test]
    fn s13_nothing_that_could_leave_the_site_is_taken() {
        for bad in [
            "",
            "basket",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/a\\b",
            "/a?b=\\",
            "/%5cevil.example",
            "https://evil.example/",
            "https://shop.example/basket",
            "javascript:alert(1)",
            "?x=1",
            "#x",
            " /basket",
            "/bas ket",
            "/basket\r\nSet-Cookie: x=1",
            "/basket\t",
            "/b\u{e4}sket",
            "/\0",
            "/./evil",
            "/a/../b",
            "/a/%2e%2E/b",
            "/a/.%2e/b",
            "/a%2f..%2fb",
        ] {
            assert_eq!(ReturnPath::parse(bad, &site()), None, "{bad:?}");
        }
        assert!(ReturnPath::parse(&format!("/{}", "a".repeat(2047)), &site()).is_some());
        assert!(ReturnPath::parse(&format!("/{}", "a".repeat(2048)), &site()).is_none());
    }

    #[test]
    fn s13_nobody_is_sent_back_to_the_pages() {
        for bad in [
            "/auth",
            "/auth/",
            "/auth/login",
            "/auth?x",
            "/auth#x",
            "/auth/logout?return_to=/",
            "/AUTH/login",
            "/%61uth/login",
            "/auth%2flogin",
            "/x/../auth/login",
            "/auth//login",
        ] {
            assert_eq!(ReturnPath::parse(bad, &site()), None, "{bad:?}");
        }
        let deep: Site = "https://shop.example/my/auth".parse().unwrap();
        assert_eq!(ReturnPath::parse("/my//auth/login", &deep), None);
        assert!(ReturnPath::parse("/my", &deep).is_some() && ReturnPath::parse("/auth", &deep).is_some());
    }

    #[test]
    fn what_follows_a_path_is_not_printed() {
        let path = ReturnPath::parse("/basket?token=secret", &site()).unwrap();
        assert_eq!(format!("{path:?}"), "ReturnPath(/basket…)");
    }

    proptest! {
        #[test]
        fn what_is_taken_stays_at_the_site_for_whoever_resolves_it(text in "[/\\\\.%a-z0-9?#:@]{0,24}|\\PC{0,40}") {
            if let Some(path) = ReturnPath::parse(&text, &site()) {
                let url = path.url(&site());
                prop_assert!(url.strip_prefix("https://shop.example").is_some_and(|rest| rest.starts_with('/')));
                prop_assert!(url.bytes().all(|b| b.is_ascii_graphic()));
                let bare = text.split(['?', '#']).next().unwrap();
                prop_assert!(!bare.starts_with("/auth/") && bare != "/auth");
            }
        }
    }
}
