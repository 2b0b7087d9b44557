//! Kills a server repeatedly while it answers refreshes: no session may be lost.
//!
//! `CHTEST_CRASHES` sets the number of kills.

use std::{
    fs,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chancery::{
    keys::{ParsedRefreshToken, SealingKey, parse_refresh_token},
    secret::RefreshToken,
};
use tokio::{sync::watch, task::JoinSet};
use tonic::transport::Channel;

use crate::{
    calls::{PASSWORD, log_in, may_be_retried, reason, refresh, start},
    place::Place,
    server::{FREE_PORTS, Server, command},
};

const CHAINS: usize = 8;

/// One session whose tokens are refreshed one after the other.
struct Chain {
    /// The newest token that was acknowledged.
    token: String,
    session: String,
    /// Number of acknowledged refreshes.
    acknowledged: u64,
    /// The id of the last refresh, and whether its answer is missing.
    request_id: String,
    unanswered: bool,
}

impl Chain {
    /// Refreshes until the server is gone.
    async fn run(mut self, channel: Channel, total: Arc<AtomicU64>, seen: watch::Sender<u64>) -> Self {
        loop {
            if !self.unanswered {
                self.request_id = format!("{}-{}", self.session.replace('_', "-"), self.acknowledged);
                self.unanswered = true;
            }
            match refresh(channel.clone(), &self.token, &self.request_id).await {
                Ok(pair) => {
                    self.acknowledge(pair);
                    seen.send_replace(total.fetch_add(1, Ordering::SeqCst) + 1);
                }
                Err(status) if may_be_retried(&status) => {}
                Err(status) => {
                    assert_eq!(reason(&status), None, "{status}");
                    return self;
                }
            }
        }
    }

    fn acknowledge(&mut self, pair: chancery::grpc::pb::TokenPair) {
        assert_eq!(pair.session_id, self.session);
        self.token = pair.refresh_token;
        self.acknowledged += 1;
        self.unanswered = false;
    }

    /// Retries the unanswered refresh twice. Both must give the same successor, whether or not it was committed.
    async fn repeat(&mut self, channel: Channel) {
        let first = refresh(channel.clone(), &self.token, &self.request_id).await.unwrap();
        let again = refresh(channel, &self.token, &self.request_id).await.unwrap();
        assert_eq!(first.refresh_token, again.refresh_token, "two successors");
        self.acknowledge(first);
    }
}

/// Counts over all rounds.
#[derive(Default)]
struct Totals {
    acknowledged: u64,
    repeated: u64,
    committed: u64,
}

/// The session and generation of a token.
fn parsed(place: &Place, token: &str) -> ParsedRefreshToken {
    let key = SealingKey::parse(&fs::read(place.dir.join("sealing.key")).unwrap()).unwrap();
    parse_refresh_token(&SealingKey::new(&key).into(), &RefreshToken::new(token.to_owned())).unwrap()
}

async fn sign_in(server: &Server) -> Chain {
    let pair = log_in(server.channel().await, "grace", PASSWORD).await.unwrap();
    Chain {
        token: pair.refresh_token,
        session: pair.session_id,
        acknowledged: 0,
        request_id: String::new(),
        unanswered: false,
    }
}

/// Runs all chains and kills the server after `kill_at` acknowledged refreshes.
async fn run_and_kill(server: &mut Server, chains: Vec<Chain>, kill_at: u64) -> Vec<Chain> {
    let (seen, mut counts) = watch::channel(0);
    let total = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    for chain in chains {
        running.spawn(chain.run(server.channel().await, total.clone(), seen.clone()));
    }
    drop(seen);
    counts.wait_for(|n| *n >= kill_at).await.expect("a chain ended before the server did");
    server.kill();
    running.join_all().await
}

/// Compares the database with the chains: it may be ahead by the unanswered refresh at most.
async fn compare(place: &Place, chains: &[Chain], seen: &mut Totals) {
    for chain in chains {
        let sql = format!("SELECT CAST(generation AS TEXT) FROM sessions WHERE id = '{}'", chain.session);
        let stored: u64 = place.texts(&sql).await[0].parse().unwrap();
        let known = u64::try_from(parsed(place, &chain.token).generation).unwrap();
        assert_eq!(known, chain.acknowledged, "an exchange moved {} by more than one", chain.session);
        assert!(stored == known || stored == known + 1, "{} of {known} is stored as {stored}", chain.session);
        seen.committed += stored - known;
    }
}

async fn crash_repeatedly(place: &Place, rounds: u64) -> Totals {
    let mut seen = Totals::default();
    let mut server = start(place);
    // Without a grace period, only the request id distinguishes a retry from a stolen token.
    server.command(&["settings", "set", "refresh_grace", "0"], "");
    let mut chains = Vec::new();
    for _ in 0..CHAINS {
        chains.push(sign_in(&server).await);
    }
    for round in 0..rounds {
        chains = run_and_kill(&mut server, chains, 10 + round * 37 % 150).await;
        server = server.again();
        compare(place, &chains, &mut seen).await;
        seen.repeated += chains.iter().map(|c| u64::from(c.unanswered)).sum::<u64>();
        let channel = server.channel().await;
        for chain in &mut chains {
            chain.repeat(channel.clone()).await;
        }
    }
    seen.acknowledged = chains.iter().map(|c| c.acknowledged).sum();
    compare(place, &chains, &mut Totals::default()).await;
    assert_eq!(place.count("sessions", "revoked_at IS NULL").await, u64::try_from(CHAINS).unwrap());
    let healed = "kind IN ('REFRESH_TOKEN_REUSED', 'SESSION_FAST_FORWARDED')";
    assert_eq!(place.count("audit_events", healed).await, 0);
    assert_ne!(place.count("audit_events", "kind = 'SIGNED_IN'").await, 0);
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_no_acknowledged_refresh_and_answers_retries() {
    let rounds = std::env::var("CHTEST_CRASHES").map_or(3, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let Totals { acknowledged, repeated, committed } = crash_repeatedly(&place, rounds).await;
        println!(
            "crash: {} killed {rounds} times: {acknowledged} refreshes acknowledged and none lost; {repeated} repeated, \
             {committed} of them had been committed",
            place.engine()
        );
        assert_ne!(repeated, 0, "no kill met a refresh under way");
    }
}

#[tokio::test]
async fn a_killed_first_start_is_completed_by_the_next_start() {
    for appears in ["", "chancery.db", "chancery.db-wal", "sealing.key"] {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::sqlite(&dir.path().join("data"));
        let mut first = command(&["serve"]);
        first.args(FREE_PORTS).args(place.flags()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut first = first.spawn().unwrap();
        while !place.dir.join(appears).exists() {
            assert!(first.try_wait().unwrap().is_none(), "it ended before it was killed");
            std::thread::yield_now();
        }
        first.kill().unwrap();
        first.wait().unwrap();
        let server = start(&place);
        log_in(server.channel().await, "grace", PASSWORD).await.unwrap();
    }
}
