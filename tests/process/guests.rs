//! Ten thousand guests a minute from one address: most are refused, nothing is written for those, and other calls go on.

use std::time::Duration;

use tokio::time::Instant;

use chancery::grpc::pb::{StartGuestSessionRequest, auth_service_client::AuthServiceClient};
use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    calls::{PASSWORD, log_in, refresh, start},
    place::Place,
};

const GUESTS: usize = 10_000;
/// Who come at the same time, and their connections.
const CALLERS: usize = 16;
const CONNECTIONS: usize = 4;
/// How many refreshes are measured without guests.
const CALM: usize = 200;

/// Starts guests over and over; returns how many were let in.
async fn come(channel: Channel, times: usize) -> usize {
    let mut rpc = AuthServiceClient::new(channel);
    let mut let_in = 0;
    for _ in 0..times {
        let request = StartGuestSessionRequest { client_id: "kiosk".into(), ..Default::default() };
        match rpc.start_guest_session(request).await {
            Ok(_) => let_in += 1,
            Err(refused) => {
                assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
                assert!(refused.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{refused:?}");
            }
        }
    }
    let_in
}

/// Refreshes one chain over and over until `done`, or so many times; returns how long each call took.
async fn refreshes(channel: &Channel, token: &mut String, most: usize, done: impl Fn() -> bool) -> Vec<Duration> {
    let mut took = Vec::new();
    while took.len() < most && !done() {
        let began = Instant::now();
        let pair = refresh(channel.clone(), token, &format!("r{}", took.len())).await.unwrap();
        took.push(began.elapsed());
        *token = pair.refresh_token;
    }
    took.sort_unstable();
    took
}

fn slowest_but_one_in_a_hundred(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_guests_from_one_address_leave_others_alone_and_write_little() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = start(&place);
        let create = ["client", "create", "kiosk", "--public", "--first-party", "--grant", "guest", "--alg", "ES256"];
        place.command(&create, "");
        let mut token = log_in(server.channel().await, "grace", PASSWORD).await.unwrap().refresh_token;
        let channel = server.channel().await;
        let calm = refreshes(&channel, &mut token, CALM, || false).await;
        let events = place.count("audit_events", "1 = 1").await;
        let began = Instant::now();
        let mut crowd = JoinSet::new();
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(server.channel().await);
        }
        for channel in channels.iter().cycle().take(CALLERS) {
            crowd.spawn(come(channel.clone(), GUESTS / CALLERS));
        }
        let crowd = tokio::spawn(crowd.join_all());
        let busy = refreshes(&channel, &mut token, usize::MAX, || crowd.is_finished()).await;
        let let_in: usize = crowd.await.unwrap().into_iter().sum();
        let took = began.elapsed();
        let engine = place.engine();
        eprintln!(
            "{engine}: {GUESTS} guests in {took:?}, {let_in} let in; refresh p99 {:?}, without {:?}",
            slowest_but_one_in_a_hundred(&busy),
            slowest_but_one_in_a_hundred(&calm)
        );
        assert!(took < Duration::from_mins(1), "{engine}: {took:?}");
        // A burst of 60, and one every five seconds.
        let most = 61 + usize::try_from(took.as_secs() / 5).unwrap();
        assert!((60..=most).contains(&let_in), "{engine}: {let_in}");
        assert_eq!(place.count("sessions", "user_id IS NULL").await, u64::try_from(let_in).unwrap(), "{engine}");
        assert_eq!(place.count("audit_events", "1 = 1").await, events, "{engine}");
        // The machine does other things too, so this only says that nobody was starved.
        assert!(
            busy.len() >= 10 && slowest_but_one_in_a_hundred(&busy) < Duration::from_secs(2),
            "{engine}: {:?}",
            slowest_but_one_in_a_hundred(&busy)
        );
        let listed = place.command(&["session", "list", "--guests", "kiosk", "--json"], "");
        assert_eq!(listed.lines().count(), let_in, "{engine}");
    }
}
