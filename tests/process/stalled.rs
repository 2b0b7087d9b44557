//! Watchers that read one message each and then nothing.

use std::fs;

use chancery::grpc::pb::{
    WatchRevocationsRequest, WatchRevocationsResponse, revocation_service_client::RevocationServiceClient,
};
use tonic::{Request, Streaming, transport::Endpoint};

use crate::{calls::start, place::Place, server::Server, watching::watcher};

const WATCHERS: usize = 100;
const REVOCATIONS: usize = 100_000;

/// Resident memory of a process, in MiB.
fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Revokes sessions behind the server's back; it reads them from the feed.
async fn revoke_sessions(place: &Place) {
    let ends_at = i64::MAX / 4;
    place
        .texts(&format!(
            "INSERT INTO feed_entries (seq, tag, kind, subject, at, ends_at) \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {REVOCATIONS}) \
             SELECT seq + i, 'made-' || i, 'session_revoked', 'ses_01KBR3X2V0J8Q6T4M5N7' || i, 0, {ends_at} FROM n, feed"
        ))
        .await;
    place.texts(&format!("UPDATE feed SET seq = seq + {REVOCATIONS}, tag = 'made-{REVOCATIONS}'")).await;
}

/// Opens a stream on a connection of its own, with the window that HTTP/2 begins with, and reads one message.
async fn watch(
    server: &Server,
    authorization: &str,
) -> (WatchRevocationsResponse, Streaming<WatchRevocationsResponse>) {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let mut client = RevocationServiceClient::new(endpoint.connect().await.unwrap());
    let mut request = Request::new(WatchRevocationsRequest::default());
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    let mut stream = client.watch_revocations(request).await.unwrap().into_inner();
    (stream.message().await.unwrap().unwrap(), stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_watchers_that_read_nothing_share_one_snapshot() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let secret = watcher(&server);
    let authorization = format!("Basic {}", STANDARD.encode(format!("watcher:{secret}")));
    revoke_sessions(&server.place).await;
    // Until the server has read them.
    let (first, _stream) = loop {
        let (message, stream) = watch(&server, &authorization).await;
        match &message.event {
            Some(chancery::grpc::pb::watch_revocations_response::Event::Snapshot(s)) if s.partial => {
                break (message, stream);
            }
            _ => tokio::task::yield_now().await,
        }
    };
    let before = resident(server.id());
    let mut streams = Vec::new();
    for _ in 0..WATCHERS {
        let (message, stream) = watch(&server, &authorization).await;
        assert_eq!(message, first);
        streams.push(stream);
    }
    let grown = resident(server.id()).saturating_sub(before);
    println!("{WATCHERS} watchers that read one message each of {REVOCATIONS} revocations cost {grown} MiB");
    // Each connection may have some 400 KiB on its way. A snapshot for each would be 1 GiB.
    assert!(grown < 160, "{grown} MiB");
}
