//! The request that a proxy asks about, from the headers by which it describes it.

use std::{borrow::Cow, net::IpAddr};

use axum::http::{HeaderMap, HeaderName, Method};
use chancery_guard::headers::is_reserved;

use super::options::CheckOptions;
use crate::{
    domain::network::{ForwardedHeaders, Proxies},
    web::browser::{Said, cross_site},
};

/// A request that is asked about.
#[derive(Clone, Debug)]
pub struct ForwardedRequest<'a> {
    /// The method.
    pub method: Method,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host, and the port if there is one, as the browser sends them.
    pub authority: Cow<'a, str>,
    /// The path and the query.
    pub target: &'a str,
    /// Whether it opens a web socket.
    pub upgrades: bool,
    /// The other headers.
    pub headers: &'a HeaderMap,
    /// What is asked for.
    pub options: &'a CheckOptions,
}

/// Why the description cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) enum Indescribable {
    /// The proxy sends no such header. With it, the line that its configuration lacks.
    Lacks(&'static str),
    /// This header must not be there, or cannot be read.
    Wrong(String, &'static str),
}

/// Headers by which some frameworks let a request name another method than its own.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
/// What is wrong with a value that is not.
const NOT_ASCII: &str = "must be visible ASCII";
/// What proxies name as the scheme, which one that is, and whether it is that of web sockets: Traefik shows no `Upgrade`,
/// and names that instead.
const SCHEMES: [(&str, &str, bool); 4] =
    [("https", "https", false), ("http", "http", false), ("wss", "https", true), ("ws", "http", true)];
/// What only this family says.
const X_FORWARDED: [&str; 2] = ["x-forwarded-proto", "x-forwarded-host"];

impl<'a> ForwardedRequest<'a> {
    /// Reads the description, which a declared proxy has sent.
    pub(super) fn read(
        headers: &'a HeaderMap,
        (proxies, proxy): (&Proxies, IpAddr),
        options: &'a CheckOptions,
    ) -> Result<Self, Indescribable> {
        refuse_others(headers, proxies.headers)?;
        let method = one(headers, "x-forwarded-method")?;
        let target = target(headers)?;
        let said = Said::read(proxies, proxy, headers);
        let (of_proto, of_host) = match proxies.headers {
            ForwardedHeaders::XForwarded => ("x-forwarded-proto", "x-forwarded-host"),
            ForwardedHeaders::Forwarded => ("forwarded", "forwarded"),
        };
        let proto = said.proto.ok_or(Indescribable::Lacks(line_for(of_proto)))?;
        let authority = said.host.ok_or(Indescribable::Lacks(line_for(of_host)))?;
        let (_, scheme, is_socket) = *SCHEMES
            .iter()
            .find(|(name, ..)| proto.eq_ignore_ascii_case(name))
            .ok_or_else(|| wrong(of_proto, "must name the scheme http or https"))?;
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|_| wrong("x-forwarded-method", "must be one method"))?;
        let upgrades = is_socket || upgrades(headers)?;
        Ok(Self { method, scheme, authority: authority.into(), target, upgrades, headers, options })
    }

    /// Whether it may change something: by its method, by another that it names, or because what follows is not seen
    /// any more.
    pub(super) fn is_unsafe(&self) -> bool {
        let names_another = METHOD_OVERRIDES.iter().any(|name| self.headers.contains_key(*name));
        names_another || self.upgrades || cross_site::is_unsafe(&self.method)
    }
}

fn wrong(name: &str, problem: &'static str) -> Indescribable {
    Indescribable::Wrong(name.to_owned(), problem)
}

/// Whether the connection is to become a web socket. Whatever else it may become, what follows passes the proxy unseen:
/// over HTTP/2 that would be requests with headers of the sender's choice.
pub(in crate::web) fn upgrades(headers: &HeaderMap) -> Result<bool, Indescribable> {
    let mut values = headers.get_all("upgrade").iter().filter(|value| !value.is_empty());
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"websocket") => Ok(true),
        _ => Err(wrong("upgrade", "must be websocket and nothing else")),
    }
}

/// Refuses what an application could take for ours or for the proxy's.
fn refuse_others(headers: &HeaderMap, family: ForwardedHeaders) -> Result<(), Indescribable> {
    let names = || headers.keys().map(HeaderName::as_str);
    if let Some(name) = names().find(|name| is_reserved(name)) {
        return Err(wrong(name, "is reserved: the proxy has to drop what browsers send under this name"));
    }
    let others: &[&str] = match family {
        ForwardedHeaders::XForwarded => &["forwarded"],
        ForwardedHeaders::Forwarded => &X_FORWARDED,
    };
    match others.iter().find(|name| headers.contains_key(**name)) {
        Some(name) => Err(wrong(name, "is another way to describe the request: the proxy has to drop it")),
        None => Ok(()),
    }
}

/// The line that a proxy's configuration lacks.
const fn line_for(name: &str) -> &'static str {
    match name.as_bytes() {
        b"x-forwarded-method" => "proxy_set_header X-Forwarded-Method $request_method;",
        b"x-forwarded-uri" => "proxy_set_header X-Forwarded-Uri $request_uri;",
        b"x-forwarded-proto" => "proxy_set_header X-Forwarded-Proto $scheme;",
        b"x-forwarded-host" => "proxy_set_header X-Forwarded-Host $http_host;",
        _ => "proxy_set_header Forwarded \"host=\\\"$http_host\\\";proto=$scheme\";",
    }
}

/// The one value of a header.
fn one<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Indescribable> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|value| !value.is_empty()).ok_or(Indescribable::Lacks(line_for(name)))?;
    if values.next().is_some() {
        return Err(wrong(name, "is there twice"));
    }
    let text = value.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_graphic()));
    text.ok_or_else(|| wrong(name, NOT_ASCII))
}

/// The path and the query. Browsers encode what is not visible ASCII; from others it is of no use here.
fn target(headers: &HeaderMap) -> Result<&str, Indescribable> {
    match one(headers, "x-forwarded-uri") {
        Err(Indescribable::Wrong(_, NOT_ASCII)) => Ok("/"),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const GOOD: [(&str, &str); 4] = [
        ("x-forwarded-method", "POST"),
        ("x-forwarded-uri", "/a?b=c"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
    ];

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair =
            |(n, v): &(&str, &str)| (HeaderName::from_bytes(n.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            map.append(name, value);
        }
        map
    }

    const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn proxies(headers: ForwardedHeaders) -> Proxies {
        Proxies { trusted: vec!["127.0.0.0/8".parse().unwrap()], headers }
    }

    fn read(headers: &HeaderMap, family: ForwardedHeaders) -> Result<(String, String, String, String), Indescribable> {
        let options = CheckOptions::default();
        let read = ForwardedRequest::read(headers, (&proxies(family), PROXY), &options)?;
        Ok((read.method.to_string(), read.scheme.into(), read.authority.into(), read.target.into()))
    }

    /// The usual headers, but for one.
    fn with(name: &'static str, value: &'static str) -> HeaderMap {
        let others = GOOD.iter().filter(|(other, _)| *other != name);
        map(&others.copied().chain([(name, value)]).collect::<Vec<_>>())
    }

    #[test]
    fn a_request_is_described_by_four_headers() {
        let (method, scheme, authority, target) = read(&map(&GOOD), ForwardedHeaders::XForwarded).unwrap();
        assert_eq!((&*method, &*scheme, &*authority, &*target), ("POST", "https", "shop.example", "/a?b=c"));
    }

    #[test]
    fn what_is_missing_is_named_with_the_line_that_adds_it() {
        for left_out in 0..GOOD.len() {
            let mut some = GOOD.to_vec();
            let (name, _) = some.remove(left_out);
            let Err(Indescribable::Lacks(line)) = read(&map(&some), ForwardedHeaders::XForwarded) else {
                panic!("{name}")
            };
            assert!(line.to_lowercase().contains(name), "{line} for {name}");
            some.push((name, ""));
            assert!(
                matches!(read(&map(&some), ForwardedHeaders::XForwarded), Err(Indescribable::Lacks(_))),
                "{name} empty"
            );
        }
    }

    #[test]
    fn what_is_there_twice_or_in_another_way_is_refused() {
        for extra in [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-uri", "/"),
            ("forwarded", "host=evil.example;proto=https"),
            ("x-chancery-subject", "ada"),
            ("x-chancery-anything", ""),
            ("x_chancery_subject", "ada"),
        ] {
            let mut all = GOOD.to_vec();
            all.push(extra);
            let Err(Indescribable::Wrong(name, _)) = read(&map(&all), ForwardedHeaders::XForwarded) else {
                panic!("{extra:?}")
            };
            assert_eq!(name, extra.0);
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_is_refused_by_the_name_of_its_header() {
        for (name, value) in [("x-forwarded-method", "GET POST"), ("x-forwarded-proto", "gopher")] {
            let refused = read(&with(name, value), ForwardedHeaders::XForwarded);
            assert!(matches!(&refused, Err(Indescribable::Wrong(named, _)) if named == name), "{refused:?}");
        }
        let mut standard = map(&GOOD[..2]);
        standard.insert("forwarded", HeaderValue::from_static("host=shop.example;proto=gopher"));
        let refused = read(&standard, ForwardedHeaders::Forwarded);
        assert!(matches!(&refused, Err(Indescribable::Wrong(named, _)) if named == "forwarded"), "{refused:?}");
    }

    #[test]
    fn a_site_is_described_as_it_is_to_the_pages() {
        for (name, value, scheme, authority) in [
            ("x-forwarded-proto", "HTTPS", "https", "shop.example"),
            ("x-forwarded-proto", "http, https", "https", "shop.example"),
            ("x-forwarded-host", "evil.example, shop.example", "https", "shop.example"),
        ] {
            let read = read(&with(name, value), ForwardedHeaders::XForwarded).unwrap();
            assert_eq!((&*read.1, &*read.2), (scheme, authority), "{name}: {value}");
        }
    }

    #[test]
    fn web_sockets_have_the_scheme_of_their_pages() {
        for (proto, scheme) in [("wss", "https"), ("ws", "http")] {
            let (options, all) = (CheckOptions::default(), with("x-forwarded-proto", proto));
            let proxies = proxies(ForwardedHeaders::XForwarded);
            let request = ForwardedRequest::read(&all, (&proxies, PROXY), &options).unwrap();
            assert_eq!((request.scheme, request.upgrades), (scheme, true));
        }
    }

    #[test]
    fn a_connection_becomes_a_web_socket_or_nothing() {
        let with = |extra: &[(&'static str, &'static str)]| {
            let all = map(&[&GOOD[..], extra].concat());
            let options = CheckOptions::default();
            let proxies = proxies(ForwardedHeaders::XForwarded);
            ForwardedRequest::read(&all, (&proxies, PROXY), &options).map(|request| request.upgrades)
        };
        assert_eq!(with(&[]), Ok(false));
        assert_eq!(with(&[("upgrade", "")]), Ok(false));
        assert_eq!(with(&[("upgrade", "WebSocket")]), Ok(true));
        for bad in [
            &[("upgrade", "h2c")][..],
            &[("upgrade", "websocket, h2c")],
            &[("upgrade", "websocket"), ("upgrade", "h2c")],
        ] {
            assert!(matches!(with(bad), Err(Indescribable::Wrong(..))), "{bad:?}");
        }
    }

    #[test]
    fn rfc_7239_is_read_where_it_is_chosen() {
        let with = |forwarded| {
            let mut all = GOOD[..2].to_vec();
            all.push(("forwarded", forwarded));
            read(&map(&all), ForwardedHeaders::Forwarded)
        };
        for good in [
            "host=shop.example;proto=https",
            "for=192.0.2.1;Proto=HTTPS;HOST=\"shop.example\"",
            "for=192.0.2.1; proto=https; host=\"shop\\.example\"",
            "host=evil.example;proto=http, host=shop.example;proto=https",
        ] {
            let (_, scheme, authority, _) = with(good).unwrap();
            assert_eq!((&*scheme, &*authority), ("https", "shop.example"), "{good}");
        }
        for bad in ["for=192.0.2.1", "host=a;host=b;proto=https", "host", "host=\"a;proto=https"] {
            assert!(matches!(with(bad), Err(Indescribable::Lacks(line)) if line.contains("Forwarded")), "{bad}");
        }
        let mut both = GOOD.to_vec();
        both.push(("forwarded", "host=shop.example;proto=https"));
        assert!(matches!(read(&map(&both), ForwardedHeaders::Forwarded), Err(Indescribable::Wrong(..))));
    }
}
