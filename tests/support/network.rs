//! A network between a test and PostgreSQL: it can be slow, cut, or swallow everything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chancery::store::Location;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinHandle,
};

use crate::database::Database;

/// What the network does with what is sent through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Forwards,
    /// Connections stay open, and nothing arrives. New connections are accepted, as a firewall might.
    Swallows,
    /// Connections are closed, new ones too.
    Cut,
}

/// A proxy to the server of a database.
pub(crate) struct Network {
    /// The database as seen through this network.
    pub(crate) database: Database,
    mode: watch::Sender<Mode>,
    latency_ms: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Network {
    pub(crate) async fn to(database: &Database) -> Self {
        let Location::Postgres(url) = &database.location else { panic!("no network leads to a file") };
        let (_, rest) = url.expose().split_once('@').unwrap();
        let server = rest.split_once('/').unwrap().0.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let database = database.through(&listener.local_addr().unwrap().to_string());
        let (mode, latency_ms) = (watch::Sender::new(Mode::Forwards), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn(accept(listener, server, mode.clone(), latency_ms.clone()));
        Self { database, mode, latency_ms, task }
    }

    #[allow(dead_code, clippy::allow_attributes, reason = "not every kind of test breaks the network")]
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Delays whatever is sent, in each direction.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every kind of test slows the network")]
    pub(crate) fn delay(&self, ms: u64) {
        self.latency_ms.store(ms, Ordering::Relaxed);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: String, mode: watch::Sender<Mode>, latency_ms: Arc<AtomicU64>) {
    while let Ok((near, _)) = listener.accept().await {
        if *mode.borrow() == Mode::Cut {
            continue;
        }
        let (server, mut mode, latency_ms) = (server.clone(), mode.subscribe(), latency_ms.clone());
        tokio::spawn(async move {
            if mode.wait_for(|m| *m != Mode::Swallows).await.is_err() {
                return;
            }
            let far = TcpStream::connect(server).await.unwrap();
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::select! {
                () = forward(near_in, far_out, mode.clone(), latency_ms.clone()) => {}
                () = forward(far_in, near_out, mode.clone(), latency_ms) => {}
                _ = mode.wait_for(|m| *m == Mode::Cut) => {}
            }
        });
    }
}

async fn forward(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mode: watch::Receiver<Mode>,
    latency_ms: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let ms = latency_ms.load(Ordering::Relaxed);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        let swallows = *mode.borrow() == Mode::Swallows;
        if !swallows && to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
