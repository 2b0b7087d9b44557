//! The listeners and the server's issuer URL.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Tls, setting::section};
use crate::service::HttpRpc;

/// Loopback by default: other machines cannot reach it, so it needs no TLS.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The port used in gRPC's own examples.
const GRPC: SocketAddr = SocketAddr::new(HOST, 50051);
/// An HTTP port that needs no privileges.
const HTTP: SocketAddr = SocketAddr::new(HOST, 8080);
/// The default port of OpenTelemetry's Prometheus exporter.
const TELEMETRY: SocketAddr = SocketAddr::new(HOST, 9464);
/// Where a demo is asked.
const CHECK: SocketAddr = SocketAddr::new(HOST, 8082);

section! {
    /// Listeners and issuer
    ListenDraft;
    /// gRPC listener
    grpc: SocketAddr as "ADDR" = GRPC;
    /// HTTP listener; at the address of the gRPC listener, both share it
    http: SocketAddr as "ADDR" = HTTP;
    /// Telemetry listener
    telemetry: SocketAddr as "ADDR" = TELEMETRY;
    /// Listener of the check that proxies ask about each request; with --dev, 127.0.0.1:8082 or a free port
    check: SocketAddr as "ADDR";
    /// Methods offered over HTTP too, as JSON and gRPC-Web: account (those for users and their applications; the default), all (with --dev), or off
    http_rpc: HttpRpc as "METHODS";
    /// URL by which verifiers know this server; fixed when the database is set up
    issuer: String as "URL";
    /// Listen beyond loopback without TLS, behind a proxy that terminates TLS
    plaintext_beyond_loopback: bool;
}

/// Listener addresses and issuer.
#[derive(Debug)]
pub struct Listen {
    /// The gRPC listener.
    pub grpc: SocketAddr,
    /// The HTTP listener.
    pub http: SocketAddr,
    /// The telemetry listener.
    pub telemetry: SocketAddr,
    /// The listener of the check, if it is on.
    pub check: Option<SocketAddr>,
    /// Whether another port will do for the check where this one is taken.
    pub check_moves: bool,
    /// Which methods the HTTP listener offers.
    pub http_rpc: HttpRpc,
    /// The configured issuer.
    pub issuer: Option<String>,
    /// Whether the HTTP listener has TLS.
    pub https: bool,
}

impl Listen {
    /// The issuer for an empty database, derived from the HTTP address; only on loopback.
    #[must_use]
    pub fn default_issuer(&self) -> Option<String> {
        let scheme = if self.https { "https" } else { "http" };
        self.http.ip().is_loopback().then(|| format!("{scheme}://{}", self.http))
    }

    /// Whether gRPC and HTTP share one listener. Port 0 is another one each time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.grpc == self.http && self.grpc.port() != 0
    }
}

impl ListenDraft {
    /// Where the telemetry listener is, whatever else is wrong.
    pub(super) fn telemetry_address(&mut self) -> SocketAddr {
        self.telemetry.or(TELEMETRY)
    }

    /// Fills in defaults and collects all problems.
    /// A demo may be one that is reached from elsewhere.
    pub(super) fn check(&mut self, (dev, anywhere): (bool, bool), tls: &Tls, problems: &mut Vec<String>) -> Listen {
        let (grpc, http, telemetry) = (self.grpc.or(GRPC), self.http.or(HTTP), self.telemetry.or(TELEMETRY));
        let plaintext = self.plaintext_beyond_loopback.or(false);
        let issuer = self.issuer.get().cloned();
        let mut all = vec![
            ("grpc", &self.grpc, grpc, tls.grpc.is_some()),
            ("http", &self.http, http, tls.http.is_some()),
            ("telemetry", &self.telemetry, telemetry, tls.telemetry.is_some()),
        ];
        all.extend(self.check.get().map(|check| ("check", &self.check, *check, tls.check.is_some())));
        let open: Vec<_> = all.iter().filter(|(_, _, address, _)| !address.ip().is_loopback()).collect();
        let plain = open.iter().find(|(.., encrypted)| !encrypted);
        match (open.first(), plain) {
            (Some((_, first, ..)), _) if dev && !anywhere => problems.push(first.problem(
                "--dev listens on loopback only, since everybody knows its passwords; --dev-anywhere lets it listen in a \
                 container or a network of your own",
            )),
            (Some(_), _) if dev && !self.issuer.is_set() => {
                let why = "a demo that is reached from elsewhere needs --issuer http://NAME:PORT, by which it is";
                problems.push(self.issuer.problem(why));
            }
            (Some(_), _) if dev => {}
            (_, Some((_, plain, ..))) if !plaintext => problems.push(plain.problem(
                "listening beyond loopback needs TLS (--tls-cert and --tls-key), or --plaintext-beyond-loopback behind \
                 a proxy that has TLS",
            )),
            (Some(_), _) if !issuer.as_ref().is_some_and(|i| i.starts_with("https://")) => {
                problems.push(self.issuer.problem("listening beyond loopback needs --issuer https://…"));
            }
            (_, None) if plaintext && all.iter().all(|(_, setting, ..)| !setting.is_unreadable()) => {
                let why = "has no effect: all listeners are on loopback or have TLS";
                problems.push(self.plaintext_beyond_loopback.problem(why));
            }
            _ => {}
        }
        let share = |one: &str, other: &str| grpc == http && (one, other) == ("grpc", "http");
        for (n, (name, setting, address, _)) in all.iter().enumerate() {
            let mut others = all.iter().take(n).filter(|(other, ..)| !share(other, name));
            if let Some((name, ..)) = others.find(|(_, _, other, _)| collide(*other, *address)) {
                problems.push(setting.problem(format_args!("{address} is the address of {name} too")));
            }
        }
        if let Some(problem) = issuer.as_deref().and_then(|issuer| problem_of_issuer(issuer, dev && anywhere)) {
            problems.push(self.issuer.problem(problem));
        }
        let check_moves = dev && !self.check.is_set();
        let check = self.check.get().copied().or(check_moves.then_some(CHECK));
        let http_rpc = self.http_rpc.or(if dev { HttpRpc::All } else { HttpRpc::default() });
        let listen = Listen { grpc, http, telemetry, check, check_moves, http_rpc, issuer, https: tls.http.is_some() };
        if listen.is_shared() && tls.grpc != tls.http {
            let why = "gRPC and HTTP share this address, so they must have the same certificate, or none";
            problems.push(self.grpc.problem(why));
        }
        listen
    }
}

/// Whether two listeners cannot have these addresses. Port 0 is any that is free.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    let same = a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()));
    one.port() == other.port() && one.port() != 0 && same
}

/// The problem with an issuer, if any. It must be an `https` URL without query or fragment (RFC 8414 §2); `http` is
/// allowed only on loopback.
pub(crate) fn issuer_problem(issuer: &str) -> Option<&'static str> {
    problem_of_issuer(issuer, false)
}

/// The same where `http` may be allowed for any host.
fn problem_of_issuer(issuer: &str, plain: bool) -> Option<&'static str> {
    let parsed = issuer.parse::<http::Uri>().ok();
    let Some((scheme, host)) = parsed.as_ref().and_then(|u| Some((u.scheme_str()?, u.host()?))) else {
        return Some("must be a URL such as https://id.example.com");
    };
    let loopback =
        host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match scheme {
        _ if issuer.contains(['?', '#', '@']) => Some("must not contain a query, a fragment or a user"),
        "https" => None,
        "http" if loopback || plain => None,
        _ => Some("must begin with https:// (http:// is for loopback only)"),
    }
}
