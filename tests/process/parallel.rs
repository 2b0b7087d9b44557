//! Many concurrent refreshes of one token, through one server and through two.

use std::{collections::BTreeSet, sync::Arc};

use tokio::{sync::Barrier, task::JoinSet};
use tonic::{Status, transport::Channel};

use crate::{
    calls::{PASSWORD, log_in, may_be_retried, refresh, start},
    place::Place,
    server::Server,
};

const CALLS: usize = 100;
/// Connections per server, so that calls arrive at the same time.
const CONNECTIONS: usize = 4;

async fn channels(servers: &[&Server]) -> Vec<Channel> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        for server in servers {
            channels.push(server.channel().await);
        }
    }
    channels
}

/// Maximum retries of a call whose error allows a retry.
const TRIES: usize = 20;

/// Refreshes a token, with retries.
async fn refresh_with_retries(channel: Channel, token: &str, request_id: &str) -> Result<String, Status> {
    let mut tries = 0..TRIES;
    loop {
        match refresh(channel.clone(), token, request_id).await {
            Ok(pair) => return Ok(pair.refresh_token),
            Err(refusal) if may_be_retried(&refusal) && tries.next().is_some() => {}
            Err(refusal) => return Err(refusal),
        }
    }
}

/// Refreshes one token in [`CALLS`] concurrent calls, each with its own request id.
async fn refresh_at_once(channels: &[Channel], token: &str) -> Vec<Result<String, Status>> {
    let together = Arc::new(Barrier::new(CALLS));
    let mut calls = JoinSet::new();
    for (n, channel) in channels.iter().cycle().take(CALLS).enumerate() {
        let (channel, token, together) = (channel.clone(), token.to_owned(), together.clone());
        calls.spawn(async move {
            together.wait().await;
            refresh_with_retries(channel, &token, &format!("call-{n}")).await
        });
    }
    calls.join_all().await
}

async fn assert_one_successor(place: &Place, servers: &[&Server]) {
    let pair = log_in(servers[0].channel().await, "grace", PASSWORD).await.unwrap();
    let channels = channels(servers).await;
    let mut token = pair.refresh_token;
    for generation in 1..=3_u64 {
        let answers = refresh_at_once(&channels, &token).await;
        let refused: Vec<&Status> = answers.iter().filter_map(|a| a.as_ref().err()).collect();
        assert!(refused.is_empty(), "{}: {} calls, {:?}", place.engine(), refused.len(), refused[0]);
        let successors: BTreeSet<&String> = answers.iter().flatten().collect();
        assert_eq!((answers.len(), successors.len()), (CALLS, 1), "{}: {answers:?}", place.engine());
        let moved_on = format!("id = '{}' AND generation = {generation} AND revoked_at IS NULL", pair.session_id);
        assert_eq!(place.count("sessions", &moved_on).await, 1, "{}", place.engine());
        // The next round uses this round's token, so it must be valid at every server.
        token = successors.into_iter().next().unwrap().clone();
    }
    let reuse = "kind IN ('REFRESH_TOKEN_REUSED', 'SESSION_REVOKED', 'SESSION_FAST_FORWARDED')";
    assert_eq!(place.count("audit_events", reuse).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_refreshes_through_one_server_have_one_successor() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = start(&place);
        assert_one_successor(&place, &[&server]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_refreshes_through_two_servers_have_one_successor() {
    let dir = tempfile::tempdir().unwrap();
    // Two servers may also share a SQLite file, as they do during a replacement.
    for place in Place::each(&dir).await {
        let server = start(&place);
        let other = server.again();
        assert_one_successor(&place, &[&server, &other]).await;
    }
}
