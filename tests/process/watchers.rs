//! Many verifiers watching one server: how soon they learn of a logout, and what each one costs.
//!
//! `CHTEST_WATCHERS` sets their number.

use std::{fs, sync::Arc, time::Duration};

use chancery_verify::Verifier;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, timeout},
};

use crate::{
    calls::start,
    place::Place,
    server::Server,
    watching::{REVOKED, log_out, sign_in, verifier, watcher},
};

const LOGOUTS: usize = 10;
/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long to measure the idle load.
const IDLE: Duration = Duration::from_secs(5);

/// Resident memory in KiB, and processor time used in milliseconds (proc(5), in ticks of 10 ms).
fn usage(id: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    // The name may contain spaces; it ends at the last bracket.
    let fields: Vec<i64> = stat.rsplit_once(')').unwrap().1.split_whitespace().filter_map(|f| f.parse().ok()).collect();
    let ticks = fields[10] + fields[11];
    (resident.trim().trim_end_matches(" kB").parse().unwrap(), u64::try_from(ticks).unwrap() * 10)
}

/// How long each verifier took to refuse the token after the logout was answered.
async fn refusal_times(verifiers: &[Verifier], server: &Server) -> Vec<Duration> {
    let pair = sign_in(server).await;
    for verifier in verifiers {
        verifier.verify(&pair.access_token).await.unwrap();
    }
    log_out(server, &pair).await.unwrap();
    let answered = Instant::now();
    let (mut waiting, mut times): (Vec<&Verifier>, _) = (verifiers.iter().collect(), Vec::new());
    let mut ticks = interval(Duration::from_millis(1));
    let all_refuse = async {
        while !waiting.is_empty() {
            waiting.retain(|verifier| {
                let refused = verifier.verify_now(&pair.access_token).map(drop) == REVOKED;
                times.extend(refused.then(|| answered.elapsed()));
                !refused
            });
            ticks.tick().await;
        }
    };
    timeout(PATIENCE, all_refuse).await.unwrap();
    times
}

fn count() -> usize {
    std::env::var("CHTEST_WATCHERS").map_or(50, |n| n.parse().unwrap())
}

/// Starts verifiers of one server a few at a time, as services start in practice.
async fn start_verifiers(server: &Arc<Server>, secret: &str) -> Vec<Verifier> {
    let mut starting = JoinSet::new();
    let mut verifiers = Vec::new();
    for _ in 0..count() {
        let (server, secret) = (server.clone(), secret.to_owned());
        starting.spawn(async move { verifier(&server, &server.grpc, &secret).await });
        if starting.len() >= 20 {
            verifiers.extend(starting.join_next().await.map(Result::unwrap));
        }
    }
    verifiers.extend(starting.join_all().await);
    verifiers
}

/// Logs out repeatedly at one server and reports how soon the verifiers, of this or another server, refused.
async fn measure_logouts(verifiers: &[Verifier], at: &Server) -> String {
    let mut all = Vec::new();
    for _ in 0..LOGOUTS {
        all.extend(refusal_times(verifiers, at).await);
    }
    all.sort_unstable();
    assert_eq!(all.len(), verifiers.len() * LOGOUTS);
    let ms = |percent: usize| all[(all.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    // Not a measurement but an upper bound for any machine.
    assert!(ms(100) < 5_000.0, "a watcher took {} ms", ms(100));
    let (number, p50, p99, max) = (verifiers.len(), ms(50), ms(99), ms(100));
    format!(
        "{number} verifiers, {LOGOUTS} log-outs: refused {p50:.1} ms after the answer (p50), {p99:.1} ms (p99), {max:.1} ms (max)"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn all_watchers_refuse_soon_after_a_logout() {
    let dir = tempfile::tempdir().unwrap();
    let server = Arc::new(start(&Place::sqlite(&dir.path().join("data"))));
    let secret = watcher(&server);
    // A sign-in first, so that the memory for its hash is not counted.
    sign_in(&server).await;
    let (alone, _) = usage(server.id());
    let verifiers = start_verifiers(&server, &secret).await;
    let told = measure_logouts(&verifiers, &server).await;
    let (full, before) = usage(server.id());
    let began = Instant::now();
    let mut idle = interval(IDLE);
    idle.tick().await;
    idle.tick().await;
    let (_, after) = usage(server.id());
    let each = full.saturating_sub(alone) / u64::try_from(verifiers.len()).unwrap();
    let busy = Duration::from_millis(after - before).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
    println!(
        "watchers: {told}; the server has {each} KiB per watcher, and used {busy:.2} % of one core for their signs of life"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_of_another_server_refuse_equally_soon() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = start(&place);
        let other = Arc::new(server.again());
        let verifiers = start_verifiers(&other, &watcher(&server)).await;
        let told = measure_logouts(&verifiers, &server).await;
        println!("watchers: of another server on the same {} database: {told}", place.engine());
    }
}
