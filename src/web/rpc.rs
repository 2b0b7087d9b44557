//! Calls over HTTP, which another edge answers: their paths, and the address of whoever is behind a declared proxy.

use std::{collections::BTreeSet, convert::Infallible, net::SocketAddr};

use axum::{Router, body::Body, extract::Request, middleware, response::IntoResponse};
use chancery_guard::listener::Peer;
use tower::Service;

use super::browser::{Arrival, connection_of};
use crate::{domain::network::Proxies, service::ACCESS};

/// The routes of every service whose calls `rpc` answers.
pub(super) fn routes<S>(rpc: S, proxies: Proxies) -> Router
where
    S: Service<Request<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    let services: BTreeSet<&str> = ACCESS.iter().filter_map(|(path, _)| Some(path.rsplit_once('/')?.0)).collect();
    let ours = services.into_iter().filter(|service| service.starts_with("/chancery."));
    let routes =
        ours.fold(Router::new(), |routes, service| routes.route_service(&format!("{service}/{{method}}"), rpc.clone()));
    routes.layer(middleware::map_request(move |request| std::future::ready(behind_proxies(&proxies, request))))
}

/// Limits count whoever is behind a proxy, not the proxy.
fn behind_proxies(proxies: &Proxies, mut request: Request) -> Request {
    let arrival = Arrival::read(proxies, connection_of(request.extensions()), request.uri(), request.headers());
    if let (true, Some(client)) = (arrival.proxied, arrival.client) {
        request.extensions_mut().insert(Peer(SocketAddr::new(client, 0)));
    }
    request
}
