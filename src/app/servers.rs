//! The servers of a process, one for each listener.

use std::sync::Arc;

use chancery_guard::listener::{Limits, Socket};
use tokio::sync::watch;

use super::{
    certificates::Certificates,
    config::{App, Config, Connections},
    listeners::Listeners,
    pause::wait_for_stop,
};
use crate::{
    grpc::{self, Health, HttpRpcService},
    mail::Kept,
    metrics::Metrics,
    service::{HttpRpc, Service},
    web::{self, ApiDocument, BrowserOptions, CheckAccess, Checker, DevApp, DevHints, Router},
};

/// Headers of a browser's request, with the cookies of the application beside it: at the pages, and at the check, which
/// is asked with the same headers. What one of them took and another refused would lead nobody to the sign-in page.
const BROWSER_HEADERS: u32 = 64 * 1024;

/// What the servers serve.
pub(super) struct Edges {
    pub(super) service: Service,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Health,
    pub(super) kept: Option<Arc<Kept>>,
    /// What a demo tells people to try.
    pub(super) hints: Option<DevHints>,
    pub(super) certificates: Certificates,
}

impl Edges {
    /// Serves until `stopped`, and until every call is answered. Readiness checks are answered until `ended`, which
    /// follows the last call.
    pub(super) async fn serve(
        self,
        config: Config,
        listeners: Listeners,
        stopped: watch::Receiver<bool>,
        (ending, ended): (watch::Sender<bool>, watch::Receiver<bool>),
    ) {
        let Self { service, metrics, health, kept, hints, certificates } = self;
        let Listeners { grpc, http, telemetry, check, app } = listeners;
        let Config { dev, connections, browser, app: application, listen, .. } = config;
        for line in browser.untranslated() {
            tracing::warn!("{line}");
        }
        let access = CheckAccess::new(&browser.proxies, browser.check_secret, dev);
        let offered = Some(listen.http_rpc).filter(|offered| *offered != HttpRpc::Off);
        let calls = offered.map(|offered| HttpRpcService::new(service.clone(), metrics.clone(), offered));
        let issuer = service.issuer().to_owned();
        let api = ApiDocument::new(move || grpc::openapi(&issuer, |path| listen.http_rpc.offers(path)));
        let demo = super::dev::secrets(hints.as_ref());
        let options = BrowserOptions { proxies: browser.proxies, dev, pages: browser.pages, hints, api: Some(api) };
        let checker = Checker::new(service.clone(), metrics.clone());
        let stop = || wait_for_stop(stopped.clone());
        let mut routes = web::routes_with_calls(service.clone(), options.clone(), calls);
        if let (true, Some(api)) = (dev, options.api.clone()) {
            routes = routes.merge(web::dev_api_routes(api, demo));
        }
        if let Some(kept) = kept {
            routes = routes.merge(web::dev_routes(kept));
        }
        let warnings = certificates.clone();
        let http = Socket::tcp(http, certificates.http);
        let calls = (service.clone(), metrics.clone(), health);
        let main_servers = async {
            match grpc {
                Some(grpc) => {
                    let (grpc, (service, metrics, health)) = (Socket::tcp(grpc, certificates.grpc), calls);
                    let grpc_server = grpc::serve(service, metrics, (grpc, connections.public), health, stop());
                    tokio::join!(grpc_server, web::serve(http, of_browsers(&connections), routes, stop()));
                }
                None => serve_both(http, of_browsers(&connections), (routes, calls), stop()).await,
            }
        };
        let check = check.map(|check| Socket::tcp(check, certificates.check));
        let check_server = serve_check(check, &connections, (checker.clone(), access), stop());
        let front = application.map(|App { url, .. }| DevApp::new(service.clone(), options, checker, &url));
        let app_server = async {
            if let Some((listener, front)) = app.zip(front) {
                web::serve_app(listener, front, stop()).await;
            }
        };
        let calls = async {
            tokio::join!(main_servers, check_server, app_server);
            let _ = ending.send(true);
        };
        let routes = web::telemetry_routes(service.clone(), metrics.clone(), move || warnings.warnings());
        let telemetry = Socket::tcp(telemetry, certificates.telemetry);
        let telemetry_server = web::serve(telemetry, connections.telemetry, routes, wait_for_stop(ended.clone()));
        tokio::join!(calls, telemetry_server);
    }
}

/// The limits of the listeners that get the headers of browsers.
const fn of_browsers(connections: &Connections) -> Limits {
    Limits { header_bytes: BROWSER_HEADERS, ..connections.public }
}

/// Serves gRPC and HTTP on one listener.
async fn serve_both(
    socket: Socket,
    limits: Limits,
    (routes, (service, metrics, health)): (Router, (Service, Arc<Metrics>, Health)),
    stop: impl Future<Output = ()>,
) {
    let Some(calls) = grpc::calls(service, metrics, health) else { return };
    web::serve_with_grpc(socket, limits, (routes, calls), stop).await;
}

async fn serve_check(
    socket: Option<Socket>,
    connections: &Connections,
    (checker, access): (Checker, CheckAccess),
    stop: impl Future<Output = ()>,
) {
    let Some(socket) = socket else { return };
    web::serve(socket, of_browsers(connections), web::check_routes(checker, access), stop).await;
}
