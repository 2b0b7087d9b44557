//! The composition root: from configuration to a running server. Imports everything but `cli`.

pub mod config;
mod database;
mod dev;
mod hashing;
mod jobs;
mod limits;
pub mod machine;
mod mail;
mod schema;
mod sealing_file;
mod telemetry;
mod turn;

use std::{future::Future, io::Write, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use tokio::{net::TcpListener, sync::watch};

pub use self::{config::Config, database::Purpose, schema::migrate, telemetry::init as init_logs};
use self::{
    database::{explain, hint, open_store, prepare_data_dir, refuse_missing},
    mail::Outgoing,
};
use crate::{
    entropy::{Entropy, OsEntropy},
    grpc::{self, Health},
    metrics::Metrics,
    passwords,
    service::{Service, StartOptions},
    store::Location,
    time::{Clock, SystemClock},
    web,
};

/// How long calls under way may take to finish after a signal to stop.
const DRAIN: Duration = Duration::from_secs(20);
/// How long connections may take to close when no call is under way on any.
const CLOSE: Duration = Duration::from_secs(1);

/// Opens the database and the sealing key, and everything above them.
///
/// # Errors
/// A sentence for the operator.
pub async fn open(config: &Config, purpose: Purpose) -> anyhow::Result<Service> {
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let location = &config.database.location;
    if purpose == Purpose::Serve {
        prepare_data_dir(&config.database.data_dir)?;
    } else if let Location::Sqlite(path) = location {
        refuse_missing(path)?;
    }
    // A wrong key is told before a database is set up that could not be claimed with it.
    let sealing = sealing_file::load(&config.database)?;
    let store = open_store(location, purpose == Purpose::Serve, &entropy).await?;
    schema::prepare(&store, location, purpose, config.migrate, clock.now()).await?;
    let claimed = store.read().await.map_err(|e| explain(&e))?.instance().await.map_err(|e| explain(&e))?.is_some();
    if !claimed && purpose == Purpose::Command {
        bail!("the database {location} is empty; `chancery serve` sets it up{}", hint());
    }
    let create = !claimed && purpose == Purpose::Serve;
    let (sealing, created) = match sealing {
        Some(key) => (key, None),
        None => sealing_file::load_own(&config.database, create, &*entropy)?,
    };
    let check_value = sealing.check_value().to_vec();
    let passwords =
        hashing::start(config.hashing, entropy.clone()).context("cannot start the threads that hash passwords")?;
    let options = start_options(config, purpose);
    // Apart from those who wait for it: it happens once, and takes as much state as all the rest.
    let started = Box::pin(Service::start(store, sealing, passwords, clock, entropy, &options)).await;
    if let (Err(_), Some(path)) = (&started, created) {
        // Another process claimed the database with another key: ours never sealed anything.
        sealing_file::remove_if(&path, &check_value);
    }
    Ok(started?)
}

fn start_options(config: &Config, purpose: Purpose) -> StartOptions {
    let serve = purpose == Purpose::Serve;
    StartOptions {
        issuer: config.listen.issuer.clone(),
        default_issuer: config.listen.default_issuer(),
        dev: serve.then_some(config.dev),
        claim: serve,
    }
}

/// Runs a server until `stop` resolves.
///
/// # Errors
/// A sentence for the operator.
pub async fn serve(config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    // Listeners first: a busy port is told before anything is touched.
    let mut config = config;
    let grpc = listen("--grpc", config.listen.grpc).await?;
    let http = listen("--http", config.listen.http).await?;
    let telemetry = listen("--telemetry", config.listen.telemetry).await?;
    config.listen.http = http.local_addr()?;
    let mail = config.mail.take().map(|mail| Outgoing::new(mail, config.dev)).unwrap_or_default();
    let service = open(&config, Purpose::Serve).await?;
    if config.dev {
        dev::set_up(&service).await.map_err(|e| explain(&e)).context("cannot set up the demo")?;
    }
    let passwords::PoolConfig { threads, queue, memory_kib, .. } = service.passwords.settings();
    tracing::info!(threads, queue, memory_mib = memory_kib / 1024, "password hashing threads started");
    if mail.post.is_none() {
        tracing::warn!("no mail server is set (mail_smtp): mails stay in the database until they expire");
    }
    let mut metrics = Metrics::default();
    hashing::observe(&mut metrics, &service.passwords);
    limits::observe(&mut metrics, &service.limits);
    let metrics = Arc::new(metrics);
    let health = Health::default();
    health.handle().set(true).await;
    metrics.set_ready(true);
    let (stopping, stopped) = watch::channel(false);
    let (ending, ended) = watch::channel(false);
    let jobs = jobs::start(&service, &metrics, health.handle(), mail.post.as_ref(), &stopped, &ended);
    announce(&config, &service, &grpc, &telemetry)?;
    let handle = health.handle();
    let servers = async {
        let rpc = async {
            grpc::serve(service.clone(), metrics.clone(), grpc, health, until(stopped.clone()))
                .await
                .map_err(anyhow::Error::from)
        };
        let mut routes = web::routes(service.clone());
        if let Some(kept) = &mail.kept {
            routes = routes.merge(web::dev_routes(kept.clone()));
        }
        let pages = async { Ok(web::serve(http, routes, until(stopped.clone())).await?) };
        let calls = async {
            let result = tokio::try_join!(rpc, pages);
            let _ = ending.send(true);
            result
        };
        // Whoever asks whether this process is ready is answered until the last call is.
        let own = web::telemetry_routes(service.clone(), metrics.clone());
        let counters = async { Ok(web::serve(telemetry, own, until(ended.clone())).await?) };
        tokio::try_join!(calls, counters).map(|_| ())
    };
    tokio::pin!(servers);
    tokio::select! {
        result = &mut servers => result?,
        () = stop => {
            tracing::info!("shutting down: refusing new calls, finishing those in flight");
            metrics.set_ready(false);
            handle.stop().await;
            let _ = stopping.send(true);
            if tokio::time::timeout(DRAIN, drain(servers, &metrics)).await.is_err() {
                tracing::warn!("the time to shut down is over; calls still in flight are cut off");
            }
        }
    }
    let _ = ending.send(true);
    jobs.finish().await;
    service.store().close().await;
    Ok(())
}

/// Waits for the servers to end. A connection that never spoke, or whose client does not close it,
/// holds nobody up once no call is under way.
async fn drain(mut servers: Pin<&mut impl Future<Output = anyhow::Result<()>>>, metrics: &Metrics) {
    let mut was_idle = false;
    while tokio::time::timeout(CLOSE, servers.as_mut()).await.is_err() {
        let idle = metrics.calls_under_way() == 0;
        // Twice, so that the last answer has had its time to leave.
        if idle && was_idle {
            return;
        }
        was_idle = idle;
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, and so is the server.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn listen(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} ({flag})"))
}

/// The line that scripts wait for, and in a demo the lines to try.
fn announce(config: &Config, service: &Service, grpc: &TcpListener, telemetry: &TcpListener) -> anyhow::Result<()> {
    let (grpc, http, telemetry) = (grpc.local_addr()?, config.listen.http, telemetry.local_addr()?);
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready grpc={grpc} http={http} telemetry={telemetry} issuer={}", service.issuer())?;
    if config.dev {
        write!(out, "{}", dev::lines_to_try(grpc, http))?;
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests;
