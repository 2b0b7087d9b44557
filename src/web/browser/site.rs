//! The site that a request was sent to: found by its scheme and host alone, by an exact match with what clients declare.
//! What a request says serves to find the site, and never to make a link.

use std::{fmt::Write, net::IpAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{Method, StatusCode, Uri, request::Parts},
    response::Response,
};

use super::{
    BrowserState,
    arrival::{Arrival, connection_of},
    headers,
    loopback::declared_name,
    problem::Problem,
};
use crate::{
    domain::{
        client::Client,
        site::{Site, is_loopback_host},
        text::cleaned,
    },
    service::{RequestContext, Snapshot},
};

/// The most that is repeated of what a request says.
const MAX_SEEN: usize = 255;
/// The most sites that are named.
const MAX_NAMED: usize = 50;

/// The site that a request was sent to, the client whose site it is, and where the request came from.
#[derive(Clone, Debug)]
pub struct SiteOf {
    /// The client.
    pub client: Arc<Client>,
    /// Its site.
    pub site: Site,
    /// Where the request came from.
    pub arrival: Arrival,
}

impl SiteOf {
    /// Finds the site of a request.
    ///
    /// # Errors
    /// The request was sent to none.
    pub fn find(state: &BrowserState, parts: &Parts) -> Result<Self, Box<Misdirected>> {
        let arrival = Arrival::read(&state.proxies, connection_of(&parts.extensions), &parts.uri, &parts.headers);
        let snapshot = state.service.live.snapshot();
        if let Some((client, site)) = snapshot.site_of(arrival.scheme, &arrival.authority) {
            return Ok(Self { client, site, arrival });
        }
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        Err(Box::new(Misdirected { arrival, snapshot, method, uri }))
    }

    /// The context of the request. Limits by address count the address of whoever sent it, not that of a proxy.
    #[must_use]
    pub fn context(&self, state: &BrowserState, user_agent: &[u8]) -> RequestContext {
        RequestContext {
            peer: self.arrival.client.map(|ip| ip.to_string()).unwrap_or_default(),
            user_agent: printable(user_agent, crate::domain::end_user::MAX_USER_AGENT),
            ..state.service.context()
        }
    }
}

/// The part of a text that can be printed.
fn printable(bytes: &[u8], most: usize) -> String {
    // What is not UTF-8 cannot be printed either.
    let text: String = bytes.utf8_chunks().map(|chunk| chunk.valid()).collect();
    cleaned(&text, most)
}

/// The site, once `routes` has found it.
impl<S: Sync> FromRequestParts<S> for SiteOf {
    type Rejection = StatusCode;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        // It is missing only where a page was mounted outside of a site.
        parts.extensions.get::<Self>().cloned().ok_or(StatusCode::MISDIRECTED_REQUEST)
    }
}

/// A request that was sent to no site.
#[derive(Debug)]
pub struct Misdirected {
    arrival: Arrival,
    snapshot: Arc<Snapshot>,
    method: Method,
    uri: Uri,
}

impl Misdirected {
    /// Logs what was seen and what is declared, and answers with what was seen. On a developer's own machine, the answer
    /// says what is declared too.
    pub fn answer(&self, state: &BrowserState) -> Response {
        if state.dev
            && let Some(elsewhere) = self.declared_name()
        {
            return elsewhere;
        }
        let (seen, declared) = self.logged(state);
        // Only what can be a site: without TLS, most often a proxy in front is not declared.
        let example = Site::at(&seen, "/auth").map_or("https://shop.example/auth".to_owned(), |site| site.to_string());
        let mut body = format!(
            "421 Misdirected Request\n\nNo site is declared at {seen}.\n\nIf you run this server: a client declares its \
             site with\n  chancery client update ID --site {example}\nand a proxy that tells the scheme and host, as one \
             with TLS must, is declared with --trusted-proxy. The log names the declared sites.\n",
        );
        // Everybody knows the issuer.
        if let Some(own) = self.issuers() {
            // Writing into a String cannot fail.
            let _ = writeln!(body, "\nThe issuer's own pages are at {own}.");
        }
        if self.is_local() {
            body.push_str("\nDeclared sites:\n");
            for site in declared {
                let _ = writeln!(body, "  {site}");
            }
        }
        headers::bare(StatusCode::MISDIRECTED_REQUEST, body)
    }

    /// The same for a program: it is told what was seen.
    pub fn problem(&self, state: &BrowserState) -> Response {
        let (seen, _) = self.logged(state);
        let mut response = Problem::MisdirectedRequest.answer(&format!("no site is declared at {seen}"));
        headers::no_site(&mut response);
        response
    }

    /// What was seen and what is declared. The log says so, from time to time.
    fn logged(&self, state: &BrowserState) -> (String, Vec<String>) {
        let (seen, declared) = (self.seen(), self.declared());
        if state.misdirected.is_due(state.service.now().millis()) {
            tracing::warn!(%seen, declared = %declared.join(" "), "a request was sent to no declared site");
        }
        (seen, declared)
    }

    /// The way to the declared name, where this machine was asked under another one.
    #[must_use]
    pub fn declared_name(&self) -> Option<Response> {
        declared_name(&self.snapshot, &self.arrival, &self.method, &self.uri)
    }

    /// The scheme and host that were seen.
    fn seen(&self) -> String {
        let Arrival { scheme, authority, .. } = &self.arrival;
        let authority = printable(authority.as_bytes(), MAX_SEEN);
        match (*scheme, authority.as_str()) {
            (_, "") => "a request without a host".to_owned(),
            ("", _) => format!("{authority} with a scheme that is neither http nor https"),
            (scheme, _) => format!("{scheme}://{authority}"),
        }
    }

    /// The site at the issuer's origin.
    fn issuers(&self) -> Option<Site> {
        let at_issuer = Site::at(&self.snapshot.issuer, "/x").ok()?;
        self.snapshot.sites().find(|site| site.origin() == at_issuer.origin()).cloned()
    }

    fn declared(&self) -> Vec<String> {
        let mut sites: Vec<_> = self.snapshot.sites().map(Site::to_string).collect();
        sites.sort();
        let more = sites.len().saturating_sub(MAX_NAMED);
        sites.truncate(MAX_NAMED);
        sites.extend((more > 0).then(|| format!("and {more} more")));
        sites
    }

    /// Whether the request comes from this machine, to this machine, on a server that others cannot use. A proxy that is
    /// not declared connects from loopback too, but in front of a server whose issuer others reach.
    fn is_local(&self) -> bool {
        let Arrival { authority, client, proxied, .. } = &self.arrival;
        let host = authority
            .rsplit_once(':')
            .map_or(authority.as_str(), |(host, port)| if port.contains(']') { authority.as_str() } else { host });
        !proxied
            && client.is_some_and(|ip: IpAddr| ip.is_loopback())
            && is_loopback_host(host)
            && self.snapshot.issuer.starts_with("http://")
    }
}
