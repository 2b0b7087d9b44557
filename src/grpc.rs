//! The gRPC edge, one file per proto service. Imports `service`, `domain` and below, never `web` or
//! `store`. The only place that may name tonic or prost.

mod account;
mod admin;
mod audit;
mod auth;
mod call;
mod client;
mod codec;
mod conflicts;
mod context;
mod convert;
mod delivery;
mod dispatch;
mod documented;
mod edge;
mod enums;
mod http_rpc;
mod import;
mod key;
mod openapi;
mod passkeys;
mod proto;
mod protocol;
mod revocation;
mod role;
mod session_data;
mod status;
mod structs;
mod token;
mod user;

use std::{convert::Infallible, future::Future, sync::Arc};

use chancery_guard::listener::{self, Incoming, Limits, Protocol, Socket};
use tonic::{body::Body, service::Routes};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::{Layer, Service as TowerService, ServiceExt};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::admin::{accepts_page_token, page_token_of};
pub use self::{
    documented::{COMMON as COMMON_REASONS, OF_THE_DATABASE as DATABASE_REASONS, documented_reasons},
    http_rpc::HttpRpcService,
    openapi::openapi,
    proto::{DESCRIPTORS, pb},
    status::{reason_code, reason_of_proto},
};
use crate::{metrics::Metrics, service::Service};

/// Maximum size of a request message, in bytes. All our requests are small.
pub const MAX_REQUEST: usize = 64 * 1024;

/// Serves until `stop` resolves and all calls in flight are answered.
pub async fn serve(
    service: Service,
    metrics: Arc<Metrics>,
    (socket, limits): (impl Into<Socket>, Limits),
    health: Health,
    stop: impl Future<Output = ()>,
) {
    let Some(calls) = calls(service, metrics, health) else { return };
    // The edge has a deadline for each call.
    let limits = Limits { answer: None, ..limits };
    listener::serve(socket.into(), Protocol::Grpc, calls, limits, stop).await;
}

/// All that a gRPC listener answers, for one that answers other requests too.
#[must_use]
pub fn calls(
    service: Service,
    metrics: Arc<Metrics>,
    health: Health,
) -> Option<
    impl TowerService<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static,
> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            // Includes google/rpc/error_details.proto, so that grpcurl can decode error details.
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (Ok(v1), Ok(v1alpha)) = (reflection().build_v1(), reflection().build_v1alpha()) else {
        // Cannot happen: the descriptors are compiled in, and a test decodes them.
        return None;
    };
    let routes = Routes::new(health.server).add_service(v1).add_service(v1alpha).prepare();
    let edge = edge::EdgeLayer::new(service, metrics).layer(routes);
    Some(edge.map_request(|request: http::Request<Incoming>| request.map(Body::new)))
}

/// The `grpc.health.v1` server and the reporter that sets its status.
pub struct Health {
    server: tonic_health::pb::health_server::HealthServer<tonic_health::server::HealthService>,
    reporter: HealthReporter,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Health")
    }
}

/// Sets the status that [`Health`] reports.
#[derive(Clone, Debug)]
pub struct HealthHandle(HealthReporter);

impl Default for Health {
    fn default() -> Self {
        let reporter = HealthReporter::new();
        let service = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
        Self { server: tonic_health::pb::health_server::HealthServer::new(service), reporter }
    }
}

impl Health {
    /// Returns a handle that sets the status.
    #[must_use]
    pub fn handle(&self) -> HealthHandle {
        HealthHandle(self.reporter.clone())
    }
}

impl HealthHandle {
    /// Reports whether this process is serving. `KeyService` is reported as serving either way.
    pub async fn set(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.0.set_service_status("", status).await;
        self.0.set_service_status("chancery.v1.AuthService", status).await;
        self.0.set_service_status("chancery.v1.KeyService", ServingStatus::Serving).await;
    }

    /// Reports that this process is no longer serving and ends all health watch streams, which would otherwise
    /// block shutdown.
    pub async fn stop(&self) {
        let mut reporter = self.0.clone();
        for service in ["", "chancery.v1.AuthService", "chancery.v1.KeyService"] {
            reporter.set_service_status(service, ServingStatus::NotServing).await;
            reporter.clear_service_status(service).await;
        }
    }
}
