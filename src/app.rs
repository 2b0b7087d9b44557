//! The composition root: from configuration to a running server. Imports everything but `cli`.

mod account;
mod audit_export;
mod backup;
mod certificates;
pub mod config;
mod data_dir;
mod database;
mod declared;
mod dev;
mod dev_certificate;
mod doctor;
mod figures;
mod first_start;
mod hashing;
mod health;
mod jobs;
mod limits;
mod listeners;
pub mod machine;
mod mail;
mod migration_plan;
mod opening;
pub mod output;
mod pause;
mod preflight;
mod restore;
mod restored;
mod schema;
mod sealing_file;
mod servers;
mod serving;
mod set_up;
mod signals;
mod telemetry;
mod token_sizes;
mod workplace;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use tokio::{sync::watch, time::Instant};

pub use self::{
    audit_export::{ExportTo, Exported, export_audit},
    backup::{BackedUp, Bounds, back_up},
    config::Config,
    database::Purpose,
    declared::{Declaration, Plan, apply, export, made as changes_made, plan},
    doctor::{Finding, IssuerTrust, Level, examine},
    health::readiness,
    migration_plan::{MigrationPlan, MigrationStep, TableHeld, TimeTaken},
    opening::open,
    preflight::{ServeOptions, server_config},
    restore::{Restored, restore},
    restored::settle_restored,
    schema::{SchemaCheck, check_schema, migrate},
    sealing_file::generate_sealing_key,
    set_up::{Rehearsal, open_or_rehearse, open_or_set_up},
    signals::Signals,
    telemetry::init as init_logs,
};
use self::{
    certificates::Certificates, config::PerListener, database::explain, dev::Reach, dev_certificate::DevCertificate,
    listeners::Listeners, mail::Outgoing,
};
use crate::{
    grpc::Health,
    metrics::Metrics,
    passwords,
    service::Service,
    time::{Clock, SystemClock},
};

/// How long a stop may take, whatever the database and the clients do. Orchestrators wait for 30 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of that calls in flight may take to finish.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(14);
/// How long the jobs may take after the last call: those that send mail get 4 s. The rest is for closing the database.
const JOBS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connections may take to close once no calls are in flight.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs a server until it is told to stop. Before it is ready, its database has what `apply` declares.
///
/// # Errors
/// A sentence for the operator.
pub async fn serve(config: Config, apply: Option<Declaration>, signals: Signals) -> anyhow::Result<()> {
    // Listeners first, so that a busy port is reported before anything is changed.
    let mut config = config;
    machine::raise_open_files();
    let listeners = Listeners::bind(&config).await?;
    config.listen.http = listeners.http.local_addr()?;
    let mail = config.mail.take().map(|mail| Outgoing::new(mail, config.dev)).unwrap_or_default();
    data_dir::prepare_for(&config.database)?;
    let dev_certificate = dev_certificate(&mut config)?;
    let certificates = Certificates::load(&config.tls, config.listen.is_shared())?;
    let lock = serving::share(&config.database.location)?;
    let opened = tokio::select! {
        opened = open(&config, Purpose::Serve) => Some(opened?),
        () = signals.stopped(1) => None,
    };
    // Nothing is half done: what was begun is rolled back, and a mark tells the next start of a new database.
    let Some(service) = opened else { return Ok(()) };
    serving::note(lock.as_ref());
    Box::pin(furnish(&config, &service, listeners.app_port()?, apply.as_ref())).await?;
    let passwords::PoolConfig { threads, queue, memory_kib, .. } = service.passwords.settings();
    tracing::info!(threads, queue, memory_mib = memory_kib / 1024, "password hashing threads started");
    if mail.post.is_none() {
        tracing::warn!("no mail server is set (mail_smtp): mails stay in the database until they expire");
    }
    let metrics = Arc::new(observed(&service, &certificates));
    let health = Health::default();
    let serving = service.store().takes_changes();
    health.handle().set(serving).await;
    metrics.set_ready(serving);
    let (leaving, left) = watch::channel(false);
    // Before the first call, so that no version of the sealing key comes into use that this process lacks. On a server that
    // takes no changes none does.
    if let Err(error) = service.presence.say(&machine::host_name()).await {
        tracing::warn!(cause = ?error, "cannot say that this process runs");
    }
    let (stopping, stopped) = watch::channel(false);
    let (ending, ended) = watch::channel(false);
    let follows = (&left, &stopped, &ended);
    let mut jobs = jobs::start(&service, &metrics, health.handle(), mail.post.as_ref(), follows);
    certificates.follow(jobs.others(), &signals.reloads, &ended);
    let reach = Reach::all(&certificates, dev_certificate.as_ref(), config.listen.is_shared());
    announce(&config, &service, &listeners, &reach)?;
    let handle = health.handle();
    let edges = servers::Edges {
        service: service.clone(),
        metrics: metrics.clone(),
        health,
        kept: mail.kept.clone(),
        hints: config.dev.then(|| dev::hints(&listeners, &reach)).transpose()?,
        certificates,
    };
    let drain = config.connections.drain;
    let servers = edges.serve(config, listeners, stopped, (ending.clone(), ended));
    tokio::pin!(servers);
    let must_end = tokio::select! {
        () = &mut servers => Instant::now() + STOP_TIMEOUT,
        () = signals.stopped(1) => {
            let _ = leaving.send(true);
            metrics.set_ready(false);
            handle.set(false).await;
            say_goodbye(drain, servers.as_mut(), &signals).await;
            let must_end = Instant::now() + STOP_TIMEOUT;
            tracing::info!("shutting down: refusing new calls, finishing those in flight");
            handle.stop().await;
            let _ = stopping.send(true);
            if tokio::time::timeout(DRAIN_TIMEOUT, finish(servers, &metrics)).await.is_err() {
                tracing::warn!("the time to shut down is over; calls still in flight are cut off");
            }
            must_end
        }
    };
    let _ = ending.send(true);
    jobs.finish((Instant::now() + JOBS_TIMEOUT).min(must_end - CLOSE_TIMEOUT)).await;
    service.store().close().await;
    Ok(())
}

/// Puts into the database what has to be there before the first call.
async fn furnish(
    config: &Config,
    service: &Service,
    app_port: Option<u16>,
    apply: Option<&Declaration>,
) -> anyhow::Result<()> {
    dev::warn_of_others(config);
    check_scheme(config, service.issuer())?;
    account::ensure(service, &dev::own_origin(config, service.issuer()), config.dev)
        .await
        .map_err(|e| explain(&e))
        .context("cannot set up the account pages")?;
    if config.dev {
        dev::set_up(service, app_port).await.map_err(|e| explain(&e)).context("cannot set up the demo")?;
    }
    if let Some(file) = apply {
        declared::at_start(service, file).await.with_context(|| format!("cannot apply {}", file.path()))?;
    }
    Ok(())
}

/// The metrics, with the figures of everything that runs.
fn observed(service: &Service, certificates: &Certificates) -> Metrics {
    let mut metrics = Metrics::default();
    hashing::observe(&mut metrics, &service.passwords);
    limits::observe(&mut metrics, &service.limits);
    limits::observe_guests(&mut metrics, service);
    figures::observe(&mut metrics, service);
    token_sizes::observe(&mut metrics, &service.tokens);
    certificates.observe(&mut metrics);
    metrics
}

/// Verifiers and browsers go where the issuer says, by TLS or without it.
fn check_scheme(config: &Config, issuer: &str) -> anyhow::Result<()> {
    let (needs, has) = (issuer.starts_with("https://"), config.listen.https);
    match (needs, has) {
        (false, true) if config.dev => bail!(
            "the demo in {} was made without TLS, for the issuer {issuer}; start without --tls, or choose another \
             --data-dir",
            config.database.data_dir.display()
        ),
        (true, false) if config.dev => bail!(
            "the demo in {} was made with TLS, for the issuer {issuer}; start with --tls, or choose another --data-dir",
            config.database.data_dir.display()
        ),
        (false, true) => {
            tracing::warn!(issuer, "the HTTP listener has TLS, and the issuer begins with http://: nobody finds it");
        }
        // A proxy in front may have TLS.
        _ => {}
    }
    Ok(())
}

/// The certificate of a demo with TLS.
fn dev_certificate(config: &mut Config) -> anyhow::Result<Option<DevCertificate>> {
    if !config.dev_tls {
        return Ok(None);
    }
    let certificate =
        DevCertificate::ensure(&config.database.data_dir, config.listen.issuer.as_deref(), SystemClock.now())?;
    config.tls = config::Tls::everywhere(&certificate.files);
    Ok(Some(certificate))
}

/// Goes on answering for this long, while whoever sends calls here learns that this process is about to stop. A second
/// signal ends it.
async fn say_goodbye(time: Duration, servers: Pin<&mut impl Future<Output = ()>>, signals: &Signals) {
    if time.is_zero() {
        return;
    }
    tracing::info!(seconds = time.as_secs(), "about to stop: not ready any more, and still answering");
    tokio::select! {
        () = servers => {}
        () = pause::pause(time) => {}
        () = signals.stopped(2) => tracing::info!("told to stop a second time"),
    }
}

/// Waits for the servers to end. Once no calls are in flight, it stops waiting for connections that are silent or that
/// their clients do not close.
async fn finish(mut servers: Pin<&mut impl Future<Output = ()>>, metrics: &Metrics) {
    let mut was_idle = false;
    while tokio::time::timeout(CLOSE_TIMEOUT, servers.as_mut()).await.is_err() {
        let idle = metrics.calls_under_way() == 0;
        // Idle twice in a row, so that the last response has had time to be sent.
        if idle && was_idle {
            return;
        }
        was_idle = idle;
    }
}

/// Prints the line that scripts wait for and, in a demo, the commands to try.
fn announce(
    config: &Config,
    service: &Service,
    listeners: &Listeners,
    reach: &PerListener<Reach>,
) -> anyhow::Result<()> {
    let (grpc, http) = (listeners.grpc_address()?, config.listen.http);
    output::line(&format!("ready {} issuer={}{}", listeners.shown()?, service.issuer(), listeners.shown_last()?))?;
    if !config.dev {
        return Ok(());
    }
    match output::line(dev::lines_to_try(grpc, http, listeners.app_port()?, reach).trim_end()) {
        // A script may have read the line that it waits for, and no more.
        Err(error) if error.is::<output::ReaderGone>() => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
