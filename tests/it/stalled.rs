//! Watchers that stop reading, in process: what they share, and how their streams end.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chancery::{
    error::Error,
    grpc::pb::{self, revocation_service_client::RevocationServiceClient},
    service::{Act, Admin, ClientCredentials, NewClientRequest, NoticeKind, WatchMessage, Watcher},
};
use tonic::Request;
use tonic_types::StatusExt;

use crate::{
    support::{App, ISSUER, admit_admin},
    wire::serving,
};

on_each_engine! {
    #[tokio::test]
    App => {
        watchers_that_start_one_after_the_other_share_one_snapshot_and_miss_nothing,
        a_snapshot_that_is_not_read_in_time_ends_the_stream,
        a_stream_that_is_not_read_ends_with_its_reason,
    }
}

const SESSIONS: usize = 20_000;

async fn observer(app: &App) -> ClientCredentials {
    app.confidential(NewClientRequest {
        id: "observer".into(),
        audiences: vec![ISSUER.into()],
        permissions: vec!["revocations.read".into()],
        ..NewClientRequest::default()
    })
    .await
}

/// Revokes many sessions at once, behind the server's back.
async fn revoke_many(app: &App) {
    let ends_at = i64::MAX / 4;
    app.sql(&format!(
        "INSERT INTO feed_entries (seq, tag, kind, subject, at, ends_at) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {SESSIONS}) \
         SELECT seq + i, 'made-' || i, 'session_revoked', 'ses_' || i, 0, {ends_at} FROM n, feed"
    ))
    .await;
    app.sql(&format!("UPDATE feed SET seq = seq + {SESSIONS}, tag = 'made-{SESSIONS}'")).await;
    app.service.live.confirm().await.unwrap();
}

async fn watch(app: &App, who: &ClientCredentials) -> Watcher {
    let admin = admit_admin(&app.service, who, ("revocations.read", Act::Read)).await.unwrap();
    app.service.revocations.watch(&admin, "").await.unwrap()
}

/// The encoded message of a part: here the subjects, and a full stop after the last part.
fn wire(message: &WatchMessage) -> Option<Bytes> {
    let WatchMessage::SnapshotPart(part) = message else { return None };
    Some(part.wire(|changes, cursor| {
        let mut text: String = changes.iter().flat_map(|c| [c.subject.as_str(), " "]).collect();
        text.extend(cursor.map(|_| "."));
        text.into()
    }))
}

async fn watchers_that_start_one_after_the_other_share_one_snapshot_and_miss_nothing(app: &App) {
    let who = observer(app).await;
    revoke_many(app).await;
    let (mut watchers, mut first, mut revoked) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..100 {
        if n % 10 == 5 {
            // A change between two watchers makes no new snapshot.
            let id = app.sign_in().await.session_id;
            app.service.users.end_session(&Admin::command(), &id).await.unwrap();
            revoked.push(id.clone());
        }
        let mut watcher = watch(app, &who).await;
        first.push(wire(&watcher.next().await.unwrap()).unwrap());
        watchers.push(watcher);
    }
    assert!(first.iter().all(|part| part.as_ptr() == first[0].as_ptr()), "the same bytes in memory");
    assert!(first[0].len() < 32 * 1024, "in pieces: {}", first[0].len());
    // The newest watcher reads on: what was revoked after the snapshot follows it.
    let mut newest = watchers.pop().unwrap();
    let mut subjects = String::from_utf8(first[0].to_vec()).unwrap();
    while let Some(part) = wire(&newest.next().await.unwrap()) {
        subjects.push_str(std::str::from_utf8(&part).unwrap());
        if part.ends_with(b".") {
            break;
        }
    }
    assert_eq!(subjects.trim_end_matches('.').split_whitespace().count(), SESSIONS);
    for want in revoked {
        let WatchMessage::Notice(notice) = newest.next().await.unwrap() else { panic!("a second snapshot") };
        assert!(matches!(&notice.kind, NoticeKind::Revocation(e) if e.change.subject == want), "{notice:?}");
    }
}

async fn a_snapshot_that_is_not_read_in_time_ends_the_stream(app: &App) {
    let who = observer(app).await;
    revoke_many(app).await;
    let mut watcher = watch(app, &who).await;
    watcher.next().await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(121)).await;
    let end = watcher.next().await;
    tokio::time::resume();
    assert!(matches!(end, Err(Error::TooSlow)), "{end:?}");
}

async fn a_stream_that_is_not_read_ends_with_its_reason(app: &App) {
    let who = observer(app).await;
    revoke_many(app).await;
    let ClientCredentials::Basic { client_id, secret } = &who else { panic!("{who:?}") };
    let basic = STANDARD.encode(format!("{client_id}:{}", secret.expose()));
    let mut request = Request::new(pb::WatchRevocationsRequest::default());
    request.metadata_mut().insert("authorization", format!("Basic {basic}").parse().unwrap());
    // The windows that HTTP/2 begins with, so that little is on its way.
    let endpoint = serving(app).await.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let mut client = RevocationServiceClient::new(endpoint.connect().await.unwrap());
    let mut stream = client.watch_revocations(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    // Until the transport is full: everything runs on this thread.
    for _ in 0..50_000 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    let mut read = 1;
    let end = loop {
        match stream.message().await {
            Ok(Some(_)) => read += 1,
            Ok(None) => panic!("the stream ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.get_details_error_info().unwrap().reason, "WATCHER_TOO_SLOW", "{end:?}");
    assert!(read < SESSIONS / 256, "only what was on its way: {read}");
}
