//! Outages of the database.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chancery::{
    error::Error,
    store::{Location, Store},
};
use sqlx::Connection;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::fixture::{Fixture, NOW};

pub(crate) async fn an_outage_is_reported_as_unavailable_and_recovers(f: &Fixture) {
    match &f.database.location {
        Location::Sqlite(path) => sqlite(f, path).await,
        Location::Postgres(url) => postgres(f, url.expose()).await,
    }
}

/// Another process holds the lock on the file for longer than anybody waits.
async fn sqlite(f: &Fixture, path: &std::path::Path) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    assert!(matches!(f.store.write().await, Err(Error::Unavailable(_))));
    // Reads still work meanwhile.
    assert!(f.store.read().await.unwrap().instance().await.unwrap().is_some());
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.sessions_delete_dead(&[], NOW).await.unwrap(), 0);
    tx.commit().await.unwrap();
}

/// The network to the server is cut during a transaction.
async fn postgres(f: &Fixture, url: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (credentials, rest) = url.split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let through = format!("{credentials}@{}/{name}", listener.local_addr().unwrap());
    let (cut, up) = (watch::Sender::new(()), Arc::new(AtomicBool::new(true)));
    tokio::spawn(forward(listener, server.to_owned(), cut.clone(), up.clone()));
    let store = Store::open(&Location::parse(&through).unwrap(), false, f.entropy.clone()).await.unwrap();
    assert!(store.read().await.unwrap().instance().await.unwrap().is_some());
    let mut tx = store.write().await.unwrap();
    up.store(false, Ordering::SeqCst);
    cut.send_replace(());
    assert!(matches!(tx.instance().await, Err(Error::Unavailable(_))));
    assert!(matches!(store.write().await, Err(Error::Unavailable(_))));
    // Not "no such user": the database could not be asked.
    let missing = match store.read().await {
        Ok(mut tx) => tx.user_by_login("ada").await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(matches!(missing, Err(Error::Unavailable(_))), "{missing:?}");
    drop(tx);
    up.store(true, Ordering::SeqCst);
    assert!(store.read().await.unwrap().instance().await.unwrap().is_some());
    store.close().await;
}

/// Forwards connections to the server, until it is cut off.
async fn forward(listener: TcpListener, server: String, cut: watch::Sender<()>, up: Arc<AtomicBool>) {
    while let Ok((mut client, _)) = listener.accept().await {
        if !up.load(Ordering::SeqCst) {
            continue;
        }
        let (server, mut cut) = (server.clone(), cut.subscribe());
        tokio::spawn(async move {
            let mut upstream = TcpStream::connect(server).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut upstream) => {}
                _ = cut.changed() => {}
            }
        });
    }
}
