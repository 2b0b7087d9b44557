//! A proxy to PostgreSQL that drops the reply to a COMMIT: the transaction is committed, but the client does not know.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    database::{Database, with_postgres},
    support::{App, Empty},
};

pub(crate) struct LossyProxy {
    pub(crate) database: Database,
    armed: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl LossyProxy {
    pub(crate) async fn start(database: &Database) -> Self {
        let chancery::store::Location::Postgres(url) = &database.location else {
            panic!("SQLite has no network connection")
        };
        let (_, rest) = url.expose().split_once('@').unwrap();
        let server = rest.split_once('/').unwrap().0.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let database = database.through(&listener.local_addr().unwrap().to_string());
        let armed = Arc::new(AtomicUsize::new(0));
        let arm = armed.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&server).await.unwrap();
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                tokio::spawn(forward(near, far, arm.clone()));
            }
        });
        Self { database, armed, task }
    }

    /// Drops the reply to the next COMMIT and closes the connection.
    pub(crate) fn arm(&self) {
        self.arm_for(1);
    }

    /// Drops the reply to the nth COMMIT from now and closes the connection.
    pub(crate) fn arm_for(&self, nth: usize) {
        self.armed.store(nth, Ordering::SeqCst);
    }

    /// Whether a reply was dropped.
    pub(crate) fn has_dropped_reply(&self) -> bool {
        self.armed.load(Ordering::SeqCst) == 0
    }
}

impl Drop for LossyProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut near: TcpStream, mut far: TcpStream, armed: Arc<AtomicUsize>) {
    let (mut asked, mut answered) = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        tokio::select! {
            n = near.read(&mut asked) => {
                let Ok(n @ 1..) = n else { return };
                let commits = asked[..n].windows(7).any(|w| w == b"COMMIT\0");
                if far.write_all(&asked[..n]).await.is_err() {
                    return;
                }
                let count_down = |n: usize| n.checked_sub(1);
                if commits && armed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count_down) == Ok(1) {
                    // The server has replied, so the commit is durable. Close both connections.
                    let _ = far.read(&mut answered).await;
                    return;
                }
            }
            n = far.read(&mut answered) => {
                let Ok(n @ 1..) = n else { return };
                if near.write_all(&answered[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// An app whose database can drop a reply. This needs a network; `None` if this run skips PostgreSQL.
pub(crate) async fn app_with_lossy_proxy() -> Option<(App, LossyProxy)> {
    if !with_postgres() {
        return None;
    }
    let empty = Empty::postgres().await;
    let way = LossyProxy::start(&empty.database).await;
    let clock = empty.clock.clone();
    let app = App::prepared(Empty { database: way.database.clone(), ..empty }, clock).await;
    Some((app, way))
}
