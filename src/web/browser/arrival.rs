//! What a request was sent to and where it came from. A proxy is believed only if it is declared.

use std::net::{IpAddr, SocketAddr};

use axum::http::{Extensions, HeaderMap, HeaderName, Uri, header, uri::Authority};
use chancery_guard::listener::{Encrypted, Peer};

use crate::domain::network::{ForwardedHeaders, Proxies};

/// The most bytes of a header that are looked at. What is longer counts as if it were missing.
const MAX_HEADER: usize = 4096;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What a request was sent to and where it came from, as its connection shows or a declared proxy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// `http` or `https`. What a proxy says that is neither is empty.
    pub scheme: &'static str,
    /// The host and port that were asked for; empty if there are none, or two.
    pub authority: String,
    /// The address of whoever sent it; unknown on a Unix socket.
    pub client: Option<IpAddr>,
    /// Whether a declared proxy passed it on.
    pub proxied: bool,
}

impl Arrival {
    /// Reads a request. The peer is the other end of the connection, which may have had TLS.
    pub fn read(
        proxies: &Proxies,
        (peer, encrypted): (Option<SocketAddr>, bool),
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Self {
        let own = if encrypted { "https" } else { "http" };
        let peer = peer.map(|peer| peer.ip().to_canonical());
        let direct =
            Self { scheme: own, authority: requested(uri, headers).unwrap_or_default(), client: peer, proxied: false };
        let Some(proxy) = peer.filter(|peer| proxies.trusts(*peer)) else { return direct };
        let said = Said::read(proxies, proxy, headers);
        let scheme = |text: &str| ["http", "https"].into_iter().find(|known| text.eq_ignore_ascii_case(known));
        Self {
            // RFC 3986 §3.1: a scheme is the same in capitals.
            scheme: said.proto.map_or(own, |text| scheme(&text).unwrap_or_default()),
            authority: said.host.unwrap_or(direct.authority),
            client: Some(said.client),
            proxied: true,
        }
    }
}

/// The other end of a request's connection, and whether the connection has TLS.
#[must_use]
pub fn connection_of(extensions: &Extensions) -> (Option<SocketAddr>, bool) {
    (extensions.get().map(|Peer(peer)| *peer), extensions.get::<Encrypted>().is_some())
}

/// The host that a request names. HTTP/2 has it in the URI, as has a request in absolute form.
fn requested(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    uri.authority().map(Authority::to_string).or_else(|| single(headers, &header::HOST).map(str::to_owned))
}

/// A header that was sent once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let value = all.next().filter(|_| all.next().is_none())?;
    value.to_str().ok().filter(|value| value.len() <= MAX_HEADER)
}

/// A header that lists one value for each proxy, as one text.
fn list(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    let joined = values.join(",");
    // The end was written by the proxies, the beginning by anybody.
    let from = joined.ceil_char_boundary(joined.len().saturating_sub(MAX_HEADER));
    joined.get(from..).unwrap_or_default().to_owned()
}

/// What the outermost declared proxy says.
pub(in crate::web) struct Said {
    client: IpAddr,
    pub(in crate::web) proto: Option<String>,
    pub(in crate::web) host: Option<String>,
}

impl Said {
    /// Reads the chosen family of headers, which a declared proxy has sent.
    pub(in crate::web) fn read(proxies: &Proxies, proxy: IpAddr, headers: &HeaderMap) -> Self {
        match proxies.headers {
            ForwardedHeaders::XForwarded => Self::by_x_forwarded(proxies, proxy, headers),
            ForwardedHeaders::Forwarded => Self::by_forwarded(proxies, proxy, headers),
        }
    }

    /// Each proxy appends the address of its peer. Of a list for the scheme or host, the value counts that stands as far
    /// from the end as the address does; most proxies write one value over what was there.
    fn by_x_forwarded(proxies: &Proxies, proxy: IpAddr, headers: &HeaderMap) -> Self {
        let addresses = list(headers, &FOR);
        let (mut client, mut passed) = (proxy, 0);
        for text in addresses.rsplit(',') {
            let Some(address) = address(text.trim()) else { break };
            passed += 1;
            client = address;
            if !proxies.trusts(address) {
                break;
            }
        }
        let value = |name: &HeaderName| {
            let values = list(headers, name);
            let from_the_end = values.rsplit(',').map(str::trim).take(passed.max(1)).last().map(str::to_owned);
            from_the_end.filter(|value| !value.is_empty())
        };
        Self { client, proto: value(&PROTO), host: value(&HOST) }
    }

    /// RFC 7239 §4: each proxy appends an element.
    fn by_forwarded(proxies: &Proxies, proxy: IpAddr, headers: &HeaderMap) -> Self {
        let mut said = Self { client: proxy, proto: None, host: None };
        let text = list(headers, &header::FORWARDED);
        for element in split(&text, ',').into_iter().rev() {
            let Some(element) = Element::read(element) else { break };
            (said.proto, said.host) = (element.proto, element.host);
            let Some(client) = element.client.as_deref().and_then(address) else { break };
            said.client = client;
            if !proxies.trusts(client) {
                break;
            }
        }
        said
    }
}

/// An element of `Forwarded`.
#[derive(Default)]
struct Element {
    client: Option<String>,
    proto: Option<String>,
    host: Option<String>,
}

impl Element {
    fn read(text: &str) -> Option<Self> {
        let mut element = Self::default();
        for pair in split(text, ';') {
            if pair.trim().is_empty() {
                continue;
            }
            let (name, value) = pair.trim().split_once('=')?;
            let place = match name.to_ascii_lowercase().as_str() {
                "for" => &mut element.client,
                "proto" => &mut element.proto,
                "host" => &mut element.host,
                _ => continue,
            };
            // RFC 7239 §4: a parameter stands once in an element.
            if place.replace(unquoted(value)?).is_some() {
                return None;
            }
        }
        Some(element)
    }
}

/// Splits at a character outside of quoted strings (RFC 9110 §5.6.4).
fn split(text: &str, at: char) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == at && !quoted => {
                parts.extend(text.get(start..index));
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

fn unquoted(value: &str) -> Option<String> {
    let Some(rest) = value.strip_prefix('"') else {
        return (!value.contains('"')).then(|| value.to_owned());
    };
    let (mut out, mut escaped) = (String::new(), false);
    for c in rest.strip_suffix('"')?.chars() {
        match c {
            c if escaped => {
                out.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return None,
            c => out.push(c),
        }
    }
    (!escaped).then_some(out)
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let plain = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse::<IpAddr>().ok().or_else(plain).or_else(with_port).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1:4000";

    fn proxies(headers: ForwardedHeaders) -> Proxies {
        Proxies { trusted: vec!["10.0.0.0/8".parse().unwrap()], headers }
    }

    /// Scheme, authority and client of a request with these headers.
    fn read(family: ForwardedHeaders, peer: &str, headers: &[(&str, &str)]) -> (String, String, String) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let peer = Some(peer.parse().unwrap());
        let Arrival { scheme, authority, client, .. } =
            Arrival::read(&proxies(family), (peer, false), &Uri::from_static("/auth/login"), &map);
        (scheme.to_owned(), authority, client.unwrap().to_string())
    }

    fn seen(scheme: &str, authority: &str, client: &str) -> (String, String, String) {
        (scheme.to_owned(), authority.to_owned(), client.to_owned())
    }

    #[test]
    fn a24_only_a_declared_proxy_is_believed() {
        let headers = [
            ("host", "127.0.0.1:8080"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-for", "192.0.2.9"),
        ];
        let family = ForwardedHeaders::XForwarded;
        assert_eq!(read(family, PROXY, &headers), seen("https", "shop.example", "192.0.2.9"));
        assert_eq!(read(family, "[::ffff:10.0.0.1]:1", &headers), seen("https", "shop.example", "192.0.2.9"));
        assert_eq!(read(family, "192.0.2.1:1", &headers), seen("http", "127.0.0.1:8080", "192.0.2.1"));
        assert_eq!(read(ForwardedHeaders::Forwarded, PROXY, &headers), seen("http", "127.0.0.1:8080", "10.0.0.1"));
    }

    #[test]
    fn a24_the_client_is_the_last_address_that_is_no_declared_proxys() {
        let client = |all: &[&str]| {
            let headers: Vec<_> = all.iter().map(|value| ("x-forwarded-for", *value)).collect();
            read(ForwardedHeaders::XForwarded, PROXY, &headers).2
        };
        assert_eq!(client(&[]), "10.0.0.1");
        assert_eq!(client(&["192.0.2.9"]), "192.0.2.9");
        // The first was written by the caller.
        assert_eq!(client(&["198.51.100.1, 192.0.2.9"]), "192.0.2.9");
        assert_eq!(client(&["198.51.100.1, 192.0.2.9, 10.0.0.2"]), "192.0.2.9");
        assert_eq!(client(&["198.51.100.1", "192.0.2.9", "10.0.0.2"]), "192.0.2.9");
        assert_eq!(client(&["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(client(&["192.0.2.9, nonsense"]), "10.0.0.1");
        assert_eq!(client(&["192.0.2.9, nonsense, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client(&["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(client(&["192.0.2.9:4711"]), "192.0.2.9");
        assert_eq!(client(&[&format!("{}192.0.2.9", "198.51.100.1,".repeat(1000))]), "192.0.2.9");
    }

    #[test]
    fn a_list_of_schemes_or_hosts_counts_as_far_as_the_declared_proxies_wrote_it() {
        let read = |headers: &[(&str, &str)]| read(ForwardedHeaders::XForwarded, PROXY, headers);
        let (two, one) = ("192.0.2.9, 10.0.0.2", "192.0.2.9");
        for (addresses, proto, scheme) in [
            (one, "https", "https"),
            (one, "http, https", "https"),
            (one, "https, http", "http"),
            (two, "https, http", "https"),
            (two, "http, https, http", "https"),
            (two, "https", "https"),
            (one, "HTTPS", "https"),
            (one, "wss", ""),
            (one, "", "http"),
        ] {
            let answer = read(&[("x-forwarded-for", addresses), ("x-forwarded-proto", proto), ("host", "a")]);
            assert_eq!(answer, seen(scheme, "a", "192.0.2.9"), "{addresses} {proto}");
        }
        let hosts = [("x-forwarded-for", one), ("x-forwarded-host", "evil.example, shop.example")];
        assert_eq!(read(&hosts), seen("http", "shop.example", "192.0.2.9"));
    }

    #[test]
    fn the_standard_header_is_read_element_by_element() {
        let read = |values: &[&str]| {
            let mut headers: Vec<_> = values.iter().map(|value| ("forwarded", *value)).collect();
            headers.push(("host", "proxy:80"));
            read(ForwardedHeaders::Forwarded, PROXY, &headers)
        };
        assert_eq!(read(&["for=192.0.2.9;proto=https;host=shop.example"]), seen("https", "shop.example", "192.0.2.9"));
        assert_eq!(
            read(&["For=\"[2001:db8::1]:4711\"; Proto=https; by=10.0.0.1; host=\"shop.example:8443\""]),
            seen("https", "shop.example:8443", "2001:db8::1")
        );
        // What the caller wrote comes first.
        assert_eq!(
            read(&["for=198.51.100.1;host=evil.example", "for=192.0.2.9;host=shop.example"]),
            seen("http", "shop.example", "192.0.2.9")
        );
        assert_eq!(
            read(&["for=192.0.2.9;proto=https;host=shop.example, for=10.0.0.2;proto=http;host=inner"]),
            seen("https", "shop.example", "192.0.2.9")
        );
        assert_eq!(read(&["for=unknown;proto=https"]), seen("https", "proxy:80", "10.0.0.1"));
        for broken in ["for=192.0.2.9;for=192.0.2.8", "for=\"192.0.2.9", "nonsense", "for=\"a\"b\""] {
            assert_eq!(read(&[broken]), seen("http", "proxy:80", "10.0.0.1"), "{broken}");
        }
        assert_eq!(read(&[r#"for="192.0.2.9";host="a\"b,c""#]).1, "a\"b,c");
    }

    #[test]
    fn a_host_that_is_named_twice_is_none() {
        let family = ForwardedHeaders::XForwarded;
        assert_eq!(read(family, PROXY, &[("host", "a"), ("host", "b")]).1, "");
        let uri = Uri::from_static("http://shop.example:81/x");
        let arrival = Arrival::read(&Proxies::default(), (None, false), &uri, &HeaderMap::new());
        assert_eq!((arrival.authority.as_str(), arrival.client), ("shop.example:81", None));
    }

    #[test]
    fn tls_of_our_own_makes_the_scheme_where_no_proxy_says_another() {
        let peer = Some(PROXY.parse().unwrap());
        let scheme = |proxies: &Proxies, header: Option<&str>| {
            let said = header.map(|proto| (PROTO, proto.parse().unwrap()));
            let headers: HeaderMap = said.into_iter().collect();
            Arrival::read(proxies, (peer, true), &Uri::from_static("/auth/login"), &headers).scheme
        };
        assert_eq!(scheme(&Proxies::default(), None), "https");
        assert_eq!(scheme(&Proxies::default(), Some("http")), "https", "not declared");
        let proxies = proxies(ForwardedHeaders::XForwarded);
        assert_eq!((scheme(&proxies, None), scheme(&proxies, Some("http"))), ("https", "http"));
    }
}
