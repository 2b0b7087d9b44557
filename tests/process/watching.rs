//! Verifiers that watch real servers.

use std::time::Duration;

use chancery::grpc::pb::{LogoutRequest, TokenPair, auth_service_client::AuthServiceClient};
use chancery_verify::{Freshness, Verifier, VerifyError, Watch};
use tokio::time::{Instant, interval, timeout};

use crate::{
    calls::{CLIENT, PASSWORD, log_in, start},
    place::Place,
    relay::Relay,
    server::Server,
};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a disconnected verifier may still trust what it knows.
const BOUND: Duration = Duration::from_secs(3);
/// How late a poll may be on a busy machine.
const SLACK: Duration = Duration::from_millis(500);

/// Registers a client that may watch and returns its secret.
pub(crate) fn watcher(server: &Server) -> String {
    let flags = ["client", "create", "watcher", "--audience", "api", "--permission", "revocations.read", "--json"];
    let made: serde_json::Value = serde_json::from_str(&server.command(&flags, "")).unwrap();
    made["client_secret"].as_str().unwrap().to_owned()
}

/// A strict verifier that watches the server through `address`. Returns once it has the revocations.
pub(crate) async fn verifier(server: &Server, address: &str, secret: &str) -> Verifier {
    let watch = Watch::new(&format!("http://{address}"), "watcher", secret).unwrap();
    let verifier = Verifier::builder(&server.issuer, "api").fail_open_for(Duration::ZERO).watch(watch).build().unwrap();
    verifier.ready(PATIENCE).await.unwrap();
    verifier
}

pub(crate) async fn sign_in(server: &Server) -> TokenPair {
    log_in(server.channel().await, "grace", PASSWORD).await.unwrap()
}

pub(crate) async fn log_out(server: &Server, pair: &TokenPair) -> Result<(), tonic::Status> {
    let request = LogoutRequest { client_id: CLIENT.to_owned(), refresh_token: pair.refresh_token.clone() };
    AuthServiceClient::new(server.channel().await).logout(request).await.map(drop)
}

/// Checks a token repeatedly until the verdict is as wanted and returns how long that took.
pub(crate) async fn wait_for_verdict(verifier: &Verifier, token: &str, want: &Result<(), VerifyError>) -> Duration {
    let began = Instant::now();
    let asking = async {
        let mut ticks = interval(Duration::from_millis(2));
        while verifier.verify_now(token).map(drop) != *want {
            ticks.tick().await;
        }
    };
    let found = timeout(PATIENCE, asking).await;
    found.unwrap_or_else(|_| panic!("{:?} and not {want:?}", verifier.verify_now(token).map(drop)));
    began.elapsed()
}

/// Polls the verifier's freshness until it is as wanted.
async fn wait_for_freshness(verifier: &Verifier, wanted: impl Fn(Freshness) -> bool) {
    let looking = async {
        let mut ticks = interval(Duration::from_millis(2));
        while !wanted(verifier.health().revocations) {
            ticks.tick().await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap();
}

const GOOD: Result<(), VerifyError> = Ok(());
pub(crate) const REVOKED: Result<(), VerifyError> = Err(VerifyError::Revoked);

#[tokio::test]
async fn a_watcher_refuses_tokens_revoked_through_any_process() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = start(&place);
        let (first, second) = (server.again(), server.again());
        let secret = watcher(&server);
        let verifier = verifier(&server, &second.grpc, &secret).await;
        let pairs = [sign_in(&server).await, sign_in(&first).await, sign_in(&second).await, sign_in(&server).await];
        for pair in &pairs {
            wait_for_verdict(&verifier, &pair.access_token, &GOOD).await;
        }
        let [one, two, three, four] = pairs.map(|p| (p.access_token.clone(), p));
        // Logout at another process, and by a command, which is its own process.
        log_out(&first, &one.1).await.unwrap();
        wait_for_verdict(&verifier, &one.0, &REVOKED).await;
        server.command(&["session", "revoke", &two.1.session_id], "");
        wait_for_verdict(&verifier, &two.0, &REVOKED).await;
        wait_for_verdict(&verifier, &three.0, &GOOD).await;
        // A client is refused while it is disabled; afterwards its sessions are valid again.
        server.command(&["client", "disable", CLIENT], "");
        wait_for_verdict(&verifier, &three.0, &REVOKED).await;
        server.command(&["client", "enable", CLIENT], "");
        wait_for_verdict(&verifier, &three.0, &GOOD).await;
        server.command(&["user", "disable", "grace"], "");
        wait_for_verdict(&verifier, &three.0, &REVOKED).await;
        wait_for_verdict(&verifier, &four.0, &REVOKED).await;
    }
}

#[tokio::test]
async fn j29_a_watcher_drops_a_revoked_key_at_once_and_gets_its_successor() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let verifier = verifier(&server, &server.grpc, &watcher(&server)).await;
    for _ in 0..2 {
        let old = sign_in(&server).await;
        let kid = verifier.verify(&old.access_token).await.unwrap().key_id.clone();
        server.command(&["keys", "revoke", &kid], "");
        let refused = async {
            let mut ticks = interval(Duration::from_millis(2));
            while verifier.verify_now(&old.access_token).is_ok() {
                ticks.tick().await;
            }
        };
        timeout(PATIENCE, refused).await.unwrap();
        let new = sign_in(&server).await;
        wait_for_verdict(&verifier, &new.access_token, &GOOD).await;
    }
}

#[tokio::test]
async fn sessions_logged_out_before_a_crash_are_refused_after_it() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let mut server = start(&place);
        let secret = watcher(&server);
        let relay = Relay::to(&server.grpc).await;
        let verifier = verifier(&server, &relay.address, &secret).await;
        for cut_first in [false, true, false, true] {
            let (out, stays) = (sign_in(&server).await, sign_in(&server).await);
            wait_for_verdict(&verifier, &out.access_token, &GOOD).await;
            wait_for_verdict(&verifier, &stays.access_token, &GOOD).await;
            if cut_first {
                // Committed and answered, but not sent to any watcher.
                relay.cut();
            }
            log_out(&server, &out).await.unwrap();
            server.kill();
            relay.cut();
            let lost = Instant::now();
            server = server.again();
            relay.redirect_to(&server.grpc);
            // As soon as it gives verdicts again, it knows of the logout.
            let mut ticks = interval(Duration::from_millis(2));
            let back = async {
                loop {
                    let answers = (
                        verifier.verify_now(&out.access_token).map(drop),
                        verifier.verify_now(&stays.access_token).map(drop),
                    );
                    if answers == (REVOKED, GOOD) {
                        return;
                    }
                    let late = lost.elapsed() > BOUND + SLACK;
                    assert!(!(late && answers.0.is_ok()), "{}: {answers:?}", place.engine());
                    ticks.tick().await;
                }
            };
            timeout(PATIENCE, back).await.unwrap();
        }
    }
}

/// Polls a strict verifier that lost its issuer until it reports stale, which must happen within its bound.
async fn assert_becomes_stale(verifier: &Verifier, token: &str, since: Instant) {
    wait_for_verdict(verifier, token, &Err(VerifyError::RevocationsUnknown)).await;
    let took = since.elapsed();
    assert!(took <= BOUND + Duration::from_secs(1) + SLACK, "stale only after {took:?}");
    assert!(matches!(verifier.health().revocations, Freshness::Stale(ms) if ms > 3_000));
    assert!(!verifier.health().ready);
}

#[tokio::test]
async fn r13_a_verifier_with_a_cut_stream_reports_stale_within_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let secret = watcher(&server);
    let relay = Relay::to(&server.grpc).await;
    let strict = verifier(&server, &relay.address, &secret).await;
    let watch = Watch::new(&format!("http://{}", relay.address), "watcher", &secret).unwrap();
    let lenient = Verifier::builder(&server.issuer, "api").watch(watch).build().unwrap();
    lenient.ready(PATIENCE).await.unwrap();
    let (out, stays) = (sign_in(&server).await, sign_in(&server).await);
    wait_for_verdict(&strict, &out.access_token, &GOOD).await;
    relay.cut();
    let since = Instant::now();
    log_out(&server, &out).await.unwrap();
    assert_becomes_stale(&strict, &out.access_token, since).await;
    // The lenient one accepts what a verifier without revocation would, for five minutes, and reports it too.
    assert_eq!(lenient.verify_now(&out.access_token).map(drop), GOOD);
    wait_for_freshness(&lenient, |freshness| matches!(freshness, Freshness::Stale(_))).await;
    assert!(lenient.health().ready);
    assert_eq!(lenient.verify_now(&out.access_token).map(drop), GOOD);
    relay.redirect_to(&server.grpc);
    for verifier in [&strict, &lenient] {
        wait_for_verdict(verifier, &out.access_token, &REVOKED).await;
        wait_for_verdict(verifier, &stays.access_token, &GOOD).await;
        wait_for_freshness(verifier, |freshness| freshness == Freshness::Fresh).await;
    }
}

#[tokio::test]
async fn r13_a_verifier_of_a_frozen_server_reports_stale_within_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    let (server, other) = (start(&place), Server::on(&place, &[]));
    let verifier = verifier(&server, &server.grpc, &watcher(&server)).await;
    let out = sign_in(&server).await;
    wait_for_verdict(&verifier, &out.access_token, &GOOD).await;
    // Its connections stay open, but nothing arrives.
    server.signal("STOP");
    let since = Instant::now();
    log_out(&other, &out).await.unwrap();
    assert_becomes_stale(&verifier, &out.access_token, since).await;
    server.signal("CONT");
    // Heartbeats that it sends now, or that were buffered, must not make the verifier report fresh too early.
    wait_for_verdict(&verifier, &out.access_token, &REVOKED).await;
}
