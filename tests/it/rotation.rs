//! Rotation of signing keys with a clock that is moved manually.

use std::collections::{BTreeSet, VecDeque};

use chancery::{
    domain::{
        keys::{Algorithm, KeyState},
        settings::{JWKS_MAX_AGE, JWKS_STALE_IF_ERROR},
    },
    service::{Admin, SweepProgress},
    time::{Timestamp, Ttl},
};

use crate::support::App;

on_each_engine! {
    #[tokio::test]
    App => {
        j28_for_400_days_no_valid_token_lacks_its_key,
        an_early_rotation_waits_until_every_cache_has_the_key,
        restoring_the_database_starts_a_new_epoch,
        the_sweep_never_looks_like_lost_changes_to_a_process,
    }
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    App => {
        only_one_of_several_processes_rotates,
    }
}

/// Maximum age of a key set that a verifier still uses.
const STALEST: Ttl = JWKS_MAX_AGE.plus(JWKS_STALE_IF_ERROR);

fn kids(app: &App) -> BTreeSet<String> {
    app.service.live.snapshot().ring.stored.iter().map(|k| k.kid.clone()).collect()
}

fn active(app: &App) -> BTreeSet<(Algorithm, String)> {
    let ring = app.service.live.snapshot().ring.clone();
    ring.stored.iter().filter(|k| k.state == KeyState::Active).map(|k| (k.algorithm, k.kid.clone())).collect()
}

/// How far to move the clock: small steps around key changes, large ones between them.
fn step(app: &App) -> Ttl {
    let now = app.service.context().now;
    let ring = app.service.live.snapshot().ring.clone();
    let busy = ring.stored.iter().any(|k| k.state == KeyState::Retired || now.since(k.created_at) < STALEST.times(4));
    let until = ring.stored.iter().filter_map(|k| k.rotate_at).min().map_or(0, |at| at.since(now).millis());
    let free = until - STALEST.times(2).millis();
    if busy { STALEST } else { Ttl::from_millis(free.clamp(STALEST.millis(), Ttl::from_days(1).millis())) }
}

/// The tokens that may be valid at each step were signed by the keys active at the previous steps;
/// each of them must be in the stalest set that a verifier may still use.
async fn j28_for_400_days_no_valid_token_lacks_its_key(app: &App) {
    let start = app.service.context().now;
    let lifetime = app.service.live.snapshot().settings.access_token_lifetime_ceiling;
    let mut sets: VecDeque<(Timestamp, BTreeSet<String>)> = VecDeque::new();
    let mut signers: VecDeque<(Timestamp, String)> = VecDeque::new();
    let mut seen = BTreeSet::new();
    while app.service.context().now < start.plus(Ttl::from_days(400)) {
        app.pass(step(app)).await;
        app.service.signing_keys.rotate_due().await.unwrap();
        let now = app.service.context().now;
        sets.push_back((now, kids(app)));
        while sets.front().is_some_and(|(at, _)| *at < now.minus(STALEST)) {
            sets.pop_front();
        }
        for (_, kid) in active(app) {
            seen.insert(kid.clone());
            signers.push_back((now, kid));
        }
        while signers.front().is_some_and(|(at, _)| *at < now.minus(lifetime)) {
            signers.pop_front();
        }
        for (fetched, set) in &sets {
            for (signed, kid) in &signers {
                assert!(set.contains(kid), "{kid} signed at {signed}, set of {fetched}, now {now}");
            }
        }
    }
    assert!(seen.len() >= 3 * 13, "{} keys signed in 400 days", seen.len());
    assert!(kids(app).len() <= 9, "keys are removed again");
}

async fn an_early_rotation_waits_until_every_cache_has_the_key(app: &App) {
    let before = active(app);
    let plans = app.service.signing_keys.rotate_early(&Admin::command(), Some(Algorithm::Es256)).await.unwrap();
    assert_eq!(plans.len(), 1);
    let wait = plans[0].at.since(app.service.context().now);
    assert_eq!(wait, STALEST.times(2).plus(Ttl::from_secs(60)));
    app.pass(Ttl::from_millis(wait.millis() - 1)).await;
    app.service.signing_keys.rotate_due().await.unwrap();
    assert_eq!(active(app), before);
    app.pass(Ttl::from_millis(1)).await;
    app.service.signing_keys.rotate_due().await.unwrap();
    assert!(active(app).contains(&(Algorithm::Es256, plans[0].kid.clone())));
}

async fn only_one_of_several_processes_rotates(app: &App) {
    app.pass(Ttl::from_days(30)).await;
    let processes = [app.service.clone(), app.second_process().await, app.second_process().await];
    let mut tasks = tokio::task::JoinSet::new();
    for service in processes {
        tasks.spawn(async move { service.signing_keys.rotate_due().await });
    }
    let mut steps = 0;
    while let Some(done) = tasks.join_next().await {
        steps += done.unwrap().unwrap();
    }
    assert_eq!(steps, 3, "one step for each algorithm");
    app.service.live.confirm().await.unwrap();
    assert_eq!(active(app).len(), 3);
}

/// The feed detects a restored database, and every process reloads it.
async fn restoring_the_database_starts_a_new_epoch(app: &App) {
    app.client("later", &["api"]).await;
    let old = app.service.live.snapshot().head.clone();
    app.set_feed_back().await;
    app.service.live.confirm().await.unwrap();
    let new = app.service.live.snapshot().head.clone();
    assert_ne!(new.epoch, old.epoch);
    assert_eq!(new.seq, old.seq - 1);
    app.service.live.confirm().await.unwrap();
    assert_eq!(app.service.live.snapshot().head.epoch, new.epoch, "a new epoch begins once");
}

#[tokio::test]
async fn j21_a_changed_rsa_key_size_applies_from_the_next_key_on() {
    let app = App::sqlite().await;
    let sizes = |app: &App| -> Vec<usize> {
        let ring = app.service.live.snapshot().ring.clone();
        let rsa = ring.stored.iter().filter(|k| k.algorithm == Algorithm::Rs256);
        rsa.map(|k| k.public_jwk["n"].as_str().unwrap().len() * 6 / 8 * 8).collect()
    };
    assert_eq!(sizes(&app), [2048, 2048]);
    assert!(app.service.instance.set(&Admin::command(), "rsa_bits", "2500").await.is_err());
    app.service.instance.set(&Admin::command(), "rsa_bits", "3072").await.unwrap();
    let ring = app.service.live.snapshot().ring.clone();
    let signs = ring.stored.iter().find(|k| k.algorithm == Algorithm::Rs256 && k.state == KeyState::Active).unwrap();
    app.service.signing_keys.revoke(&Admin::command(), &signs.kid).await.unwrap();
    assert_eq!(sizes(&app), [2048, 3072]);
}

async fn the_sweep_never_looks_like_lost_changes_to_a_process(app: &App) {
    let other = app.second_process().await;
    let epoch = other.live.snapshot().head.epoch.clone();
    // Everything so far has long expired; then something new is committed and a sweep runs at once.
    app.pass(Ttl::from_days(1)).await;
    other.live.confirm().await.unwrap();
    app.service.clients.set_disabled(&Admin::command(), "app", true).await.unwrap();
    assert!(app.service.sweeper.step(&mut SweepProgress::default()).await.unwrap().pass_done);
    other.live.confirm().await.unwrap();
    assert_eq!(other.live.snapshot().head.epoch, epoch);
    assert!(other.live.snapshot().clients["app"].disabled_at.is_some());
}
