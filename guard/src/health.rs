//! `grpc.health.v1`: serving while valid tokens are accepted, as `/readyz`.

use std::{sync::Arc, time::Duration};

use chancery_verify::Gate;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tonic::{Request, Response, Status, codegen::tokio_stream::wrappers::ReceiverStream};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health as HealthService, HealthServer},
};

use crate::listener::Claim;

/// How often the state is looked at for those who watch it: it changes with time, too.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Streams that may be open at a time.
const MOST_WATCHERS: usize = 256;
/// How long a stream stays open. Clients open another one.
const WATCH_FOR: Duration = Duration::from_hours(1);

/// The state of a guard, shared by its listeners.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    gate: Gate,
    stopped: watch::Receiver<bool>,
    watchers: Arc<Semaphore>,
}

impl Health {
    pub(crate) fn new(gate: Gate, stopped: watch::Receiver<bool>) -> Self {
        Self { gate, stopped, watchers: Arc::new(Semaphore::new(MOST_WATCHERS)) }
    }

    /// The health service of a listener that serves `name`.
    pub(crate) fn service(&self, name: &'static str) -> HealthServer<Named> {
        HealthServer::new(Named { health: self.clone(), name })
    }

    fn status(&self) -> ServingStatus {
        let serving = !*self.stopped.borrow() && self.gate.verifier().health().ready;
        if serving { ServingStatus::Serving } else { ServingStatus::NotServing }
    }
}

/// The health of one service.
#[derive(Debug)]
pub(crate) struct Named {
    health: Health,
    name: &'static str,
}

impl Named {
    fn find(&self, request: &HealthCheckRequest) -> Result<(), Status> {
        let known = request.service.is_empty() || request.service == self.name;
        known.then_some(()).ok_or_else(|| Status::not_found("there is no such service here"))
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl HealthService for Named {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.find(request.get_ref())?;
        Ok(Response::new(response(self.health.status())))
    }

    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.find(request.get_ref())?;
        let place = self.health.watchers.clone().try_acquire_owned();
        let place = place.map_err(|_| Status::resource_exhausted("too many streams watch the health"))?;
        // It costs its caller nothing, so it must not keep others out.
        if let Some(claim) = request.extensions().get::<Claim>() {
            claim.waive();
        }
        let (statuses, stream) = mpsc::channel(1);
        tokio::spawn(follow(self.health.clone(), statuses, place));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Sends the status, and again whenever it has changed, until the guard stops or nobody listens.
async fn follow(
    mut health: Health,
    statuses: mpsc::Sender<Result<HealthCheckResponse, Status>>,
    _place: OwnedSemaphorePermit,
) {
    let (mut ticks, ends, mut last) = (interval(LOOK_EVERY), Instant::now() + WATCH_FOR, None);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < ends {
        let status = health.status();
        // The peer may take nothing. Its connection ends then, and so does this.
        if last != Some(status) && statuses.send(Ok(response(status))).await.is_err() {
            return;
        }
        last = Some(status);
        if *health.stopped.borrow() {
            return;
        }
        tokio::select! {
            _ = ticks.tick() => {}
            changed = health.stopped.changed() => if changed.is_err() { return },
            () = statuses.closed() => return,
        }
    }
}
