//! A bare axum server with one static page: the ceiling for JWKS over HTTP.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Response},
    routing::get,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::{
    deployment::Tools, http1::HttpGetter, load::Window, load::closed_loop, pin, process::Process, stats::Measurement,
};

/// The page that the bare server returns.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Page {
    headers: Vec<(String, String)>,
    body: String,
}

impl Page {
    /// Fetches a page from a server, so that the bare server can return the same.
    pub(crate) async fn of(address: &str, path: &str) -> anyhow::Result<Self> {
        Self::of_with(address, path, &[]).await
    }

    /// The same, by a request with these headers.
    pub(crate) async fn of_with(address: &str, path: &str, request: &[(String, String)]) -> anyhow::Result<Self> {
        let (headers, body) = HttpGetter::connect_with(address, path, request).await?.get().await?;
        let is_copied = |name: &str| !["date", "content-length"].contains(&name.to_ascii_lowercase().as_str());
        let headers = headers.into_iter().filter(|(name, _)| is_copied(name)).collect();
        Ok(Self { headers, body: String::from_utf8(body)? })
    }

    /// The length of the headers.
    pub(crate) fn header_size(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum()
    }

    /// The length of the body.
    pub(crate) fn size(&self) -> usize {
        self.body.len()
    }
}

/// Serves a page from a file until the process is killed.
pub(crate) async fn serve(page: PathBuf) -> anyhow::Result<()> {
    let page: Page = serde_json::from_slice(&std::fs::read(page)?)?;
    let body = Bytes::from(page.body);
    let mut headers = HeaderMap::new();
    for (name, value) in page.headers {
        headers.insert(name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?);
    }
    let handler = move || {
        let mut response = Response::new(Body::from(body.clone()));
        response.headers_mut().clone_from(&headers);
        std::future::ready(response)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "ready {address}")?;
        out.flush()?;
    }
    axum::serve(listener, Router::new().route("/page", get(handler))).await?;
    Ok(())
}

/// Starts a bare server with this page and requests it over this many connections.
pub(crate) async fn measure(
    tools: &Tools,
    page: &Page,
    connections: usize,
    window: Window,
) -> anyhow::Result<Measurement> {
    measure_with(tools, page, &[], connections, window).await
}

/// The same, by requests with these headers.
pub(crate) async fn measure_with(
    tools: &Tools,
    page: &Page,
    request: &[(String, String)],
    connections: usize,
    window: Window,
) -> anyhow::Result<Measurement> {
    let file = tools.dir.join("page.json");
    std::fs::write(&file, serde_json::to_vec(page)?).context("cannot write the page")?;
    let mut command = pin::server_side(tools.pin, &tools.own);
    command.arg("static-server").arg(&file);
    let server = Process::start(command, &tools.dir.join("static.log")).await?;
    let getters = HttpGetter::several(connections, server.ready_value("")?, "/page", request).await?;
    Ok(closed_loop(getters, window, server.id()).await?.0)
}

/// Requests a page over this many connections.
pub(crate) async fn request_page(
    address: &str,
    path: &str,
    connections: usize,
    server: u32,
    window: Window,
) -> anyhow::Result<Measurement> {
    let getters = HttpGetter::several(connections, address, path, &[]).await?;
    Ok(closed_loop(getters, window, server).await?.0)
}
