//! The application that `serve --dev --app URL` stands in front of.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::web::AppUrl;

/// The site of the demo's application is at this port.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// An application in development.
#[derive(Clone, Debug)]
pub struct App {
    /// Where the application listens.
    pub url: AppUrl,
    /// Where browsers find it.
    pub listen: SocketAddr,
}

impl App {
    /// Reads the flags and collects all problems.
    pub(in crate::app) fn read(
        url: Option<&str>,
        listen: Option<SocketAddr>,
        problems: &mut Vec<String>,
    ) -> Option<Self> {
        let listen = listen.unwrap_or(LISTEN);
        if !listen.ip().is_loopback() {
            problems
                .push("--app-listen: --dev listens on loopback only, since everybody knows its passwords".to_owned());
        }
        match url?.parse() {
            Ok(url) => Some(Self { url, listen }),
            Err(problem) => {
                problems.push(format!("--app: {problem}"));
                None
            }
        }
    }
}
