//! A server whose database has gone silent.

use std::{fs, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::grpc::pb::{
    WatchJwksRequest, WatchRevocationsRequest, key_service_client::KeyServiceClient,
    revocation_service_client::RevocationServiceClient,
};
use tokio::{net::TcpListener, time::timeout};

use crate::{
    calls::{page, start},
    place::Place,
    server::{FREE_PORTS, Server, command},
    watching::watcher,
};

/// The whole of a stop, as `docs/administration.md` states it.
const STOP: Duration = Duration::from_secs(20);

/// Forwards to the server of a database until `silent` is set, and then swallows everything.
async fn network(place: &Place) -> (Place, tokio::sync::watch::Sender<bool>) {
    let url = place.database.clone().unwrap();
    let (credentials, rest) = url.split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = format!("{credentials}@{}/{name}", listener.local_addr().unwrap());
    let silent = tokio::sync::watch::Sender::new(false);
    let (server, seen) = (server.to_owned(), silent.subscribe());
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (server, mut seen) = (server.clone(), seen.clone());
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(server).await.unwrap();
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let silence = async { seen.wait_for(|silent| *silent).await.map(drop) };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                    _ = silence => {}
                }
                // Keeps the connection open and reads nothing any more.
                std::future::pending::<()>().await;
            });
        }
    });
    (Place { database: Some(through), ..place.clone() }, silent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stops_in_time_although_its_database_is_silent() {
    if std::env::var("CHTEST_ENGINES").as_deref() == Ok("sqlite") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::postgres(&dir.path().join("data")).await;
    drop(start(&place));
    let (through, silent) = network(&place).await;
    let server = tokio::task::spawn_blocking(move || Server::on(&through, &[])).await.unwrap();
    silent.send_replace(true);
    let not_ready = async { while !page(&server.telemetry, "/readyz").await.is_some_and(|p| p.contains(" 503 ")) {} };
    timeout(Duration::from_secs(15), not_ready).await.expect("it is still ready");
    let log = server.log.clone();
    server.terminate();
    let ended = timeout(STOP, tokio::task::spawn_blocking(|| server.wait())).await;
    assert!(ended.expect("the process has not ended").unwrap().success());
    let log = fs::read_to_string(log).unwrap();
    assert!(!log.contains("ERROR"), "{log}");
}

/// A server that waits at its start for a lock that somebody else holds.
#[test]
fn a_start_that_waits_is_stopped_by_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    drop(Server::start(&data, &[]));
    let lock = fs::File::create(data.join("chancery.lock")).unwrap();
    lock.lock().unwrap();
    let mut process = command(&["serve"]).args(FREE_PORTS).arg("--data-dir").arg(&data).spawn().unwrap();
    let fds = format!("/proc/{}/fd", process.id());
    let waits = || {
        let open = fs::read_dir(&fds).unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        open.into_iter().any(|file| file.ends_with("chancery.lock"))
    };
    while !waits() {
        assert!(process.try_wait().unwrap().is_none());
    }
    let id = process.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let began = tokio::time::Instant::now();
    while process.try_wait().unwrap().is_none() {
        if began.elapsed() > STOP {
            process.kill().unwrap();
            panic!("the process has not ended");
        }
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn an_ordinary_stop_logs_no_error() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = start(&place);
        let log = server.log.clone();
        let mut keys = KeyServiceClient::new(server.channel().await);
        let mut keys = keys.watch_jwks(WatchJwksRequest {}).await.unwrap().into_inner();
        keys.message().await.unwrap().unwrap();
        let credentials = STANDARD.encode(format!("watcher:{}", watcher(&server)));
        let mut watch = tonic::Request::new(WatchRevocationsRequest::default());
        watch.metadata_mut().insert("authorization", format!("Basic {credentials}").parse().unwrap());
        let mut revocations = RevocationServiceClient::new(server.channel().await);
        let mut revocations = revocations.watch_revocations(watch).await.unwrap().into_inner();
        revocations.message().await.unwrap().unwrap();
        let before = fs::read_to_string(&log).unwrap().len();
        server.terminate();
        let keys_ended = keys.message().await.unwrap_err();
        let revocations_ended = async {
            loop {
                if let Err(ended) = revocations.message().await {
                    return ended;
                }
            }
        };
        let revocations_ended = timeout(STOP, revocations_ended).await.expect("the stream goes on");
        for ended in [keys_ended, revocations_ended] {
            assert_eq!(ended.code(), tonic::Code::Unavailable);
            assert!(ended.message().starts_with("this server is stopping"), "{ended:?}");
        }
        let ended = tokio::task::spawn_blocking(|| server.wait()).await.unwrap();
        assert!(ended.success());
        let log = fs::read_to_string(log).unwrap();
        // On a busy machine there may have been warnings before.
        let bad = log[before..].lines().filter(|l| l.contains("ERROR") || l.contains("WARN"));
        assert_eq!(bad.count(), 0, "{log}");
    }
}
