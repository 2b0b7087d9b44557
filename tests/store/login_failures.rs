//! Counts of failed attempts.

use chancery::{
    domain::limit::{LimitKey, LimitKind, LimitSettings, Rule, Tally},
    time::{Timestamp, Ttl},
};

use crate::fixture::{Fixture, NOW};

type Count = (LimitKey, Rule);

fn count(kind: LimitKind, name: u8) -> Count {
    let mut hash = [name; 32];
    // Bytes that are not valid text.
    hash[..3].copy_from_slice(&[0, 255, kind as u8]);
    (LimitKey { kind, hash }, LimitSettings::default().rule(kind).unwrap())
}

async fn fail(f: &Fixture, counts: &[Count], now: Timestamp) -> Vec<Tally> {
    let mut tx = f.store.write().await.unwrap();
    let tallies = tx.login_failures_add(counts, now).await.unwrap();
    tx.commit().await.unwrap();
    tallies
}

async fn read(f: &Fixture, counts: &[Count]) -> Vec<Option<Tally>> {
    let keys: Vec<_> = counts.iter().map(|(key, _)| *key).collect();
    f.store.read().await.unwrap().login_failures_of(&keys).await.unwrap()
}

pub(crate) async fn each_failure_counts_as_the_rule_says(f: &Fixture) {
    let counts = LimitKind::ALL.map(|kind| count(kind, 9));
    assert_eq!(read(f, &counts).await, [None; LimitKind::ALL.len()]);
    assert!(fail(f, &[], NOW).await.is_empty());
    let mut expected: Vec<Option<Tally>> = vec![None; counts.len()];
    let mut now = NOW;
    for n in 0..40 {
        now = now.plus(Ttl::from_millis(n * 777));
        // Leave one of them out now and then.
        let some: Vec<_> = counts.iter().copied().enumerate().filter(|(at, _)| n % 7 != 3 || *at != 1).collect();
        let returned = fail(f, &some.iter().map(|(_, c)| *c).collect::<Vec<_>>(), now).await;
        assert_eq!(returned.len(), some.len());
        for ((at, (_, rule)), returned) in some.into_iter().zip(returned) {
            let tally = rule.failed(expected[at].as_ref(), now);
            assert_eq!(returned, tally, "{n} {at}");
            expected[at] = Some(tally);
        }
        assert_eq!(read(f, &counts).await, expected);
    }
    let others: Vec<_> = (0..7).map(|name| count(LimitKind::Account, name)).collect();
    fail(f, &others, now).await;
    assert_eq!(read(f, &others).await.into_iter().flatten().count(), 7, "more than one statement reads");
}

pub(crate) async fn concurrent_failures_are_not_lost(f: &Fixture) {
    let shared = count(LimitKind::Network, 1);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..24u8 {
        let store = if n % 2 == 0 { f.store.clone() } else { f.second().await };
        let own = count(LimitKind::Account, 10 + n % 3);
        let counts = if n % 2 == 0 { [shared, own] } else { [own, shared] };
        tasks.spawn(async move {
            let mut tx = store.write().await.unwrap();
            let returned = tx.login_failures_add(&counts, NOW).await.unwrap();
            tx.commit().await.unwrap();
            returned[usize::from(n % 2 == 1)].failures
        });
    }
    let mut returned = tasks.join_all().await;
    returned.sort_unstable();
    assert_eq!(returned, (1..=24).collect::<Vec<_>>(), "each failure saw those before it");
    let own: Vec<_> = (10..13).map(|name| count(LimitKind::Account, name)).collect();
    assert!(read(f, &own).await.into_iter().all(|t| t.unwrap().failures == 8));
}

pub(crate) async fn cleared_and_expired_counts_start_again(f: &Fixture) {
    let (ada, grace) = (count(LimitKind::Account, 1), count(LimitKind::Account, 2));
    for _ in 0..3 {
        fail(f, &[ada, grace], NOW).await;
    }
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.login_failures_clear(&[]).await.unwrap(), 0);
    assert_eq!(tx.login_failures_clear(&[ada.0]).await.unwrap(), 1);
    assert_eq!(tx.login_failures_clear(&[ada.0]).await.unwrap(), 0);
    tx.commit().await.unwrap();
    let tallies = read(f, &[ada, grace]).await;
    assert_eq!((tallies[0], tallies[1].unwrap().failures), (None, 3));
    let expires_at = tallies[1].unwrap().expires_at;
    assert_eq!(expires_at, NOW.plus(Ttl::from_days(3)));
    assert_eq!(fail(f, &[ada], NOW).await[0].failures, 1);
    assert_eq!(fail(f, &[grace], expires_at).await[0].failures, 1);
}

pub(crate) async fn a_clock_that_was_set_back_causes_no_underflow(f: &Fixture) {
    for kind in LimitKind::ALL {
        let (count, mut expected, mut now) = (count(kind, 5), None, NOW);
        for step in [0, -3_600_000, 1000, 7_200_000, -1] {
            now = now.plus(Ttl::from_millis(step));
            let tally = count.1.failed(expected.as_ref(), now);
            assert_eq!(fail(f, &[count], now).await, [tally]);
            assert!(tally.level >= count.1.level_per_failure() && tally.expires_at > now);
            expected = Some(tally);
        }
    }
}

pub(crate) async fn expired_counts_are_swept_in_steps(f: &Fixture) {
    let counts: Vec<_> = (0..5).map(|name| count(LimitKind::Account, name)).collect();
    fail(f, &counts, NOW).await;
    fail(f, &counts[..1], NOW).await;
    let mut tx = f.store.write().await.unwrap();
    let ends = NOW.plus(Ttl::from_days(1));
    assert_eq!(tx.login_failures_sweep(ends, 3).await.unwrap(), 0);
    let later = ends.plus(Ttl::from_millis(1));
    assert_eq!(tx.login_failures_sweep(later, 3).await.unwrap(), 3);
    assert_eq!(tx.login_failures_sweep(later, 3).await.unwrap(), 1);
    assert_eq!(tx.login_failures_sweep(later, 3).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(read(f, &counts).await.into_iter().flatten().count(), 1);
}

/// Locks the counts, adds a failure to each if that is allowed, and returns whether it was.
async fn count_first(store: &chancery::store::Store, counts: &[Count]) -> bool {
    let keys: Vec<_> = counts.iter().map(|(key, _)| *key).collect();
    let mut tx = store.write().await.unwrap();
    let locked = tx.login_failures_lock(&keys, NOW).await.unwrap();
    let allowed = |((_, rule), tally): (&Count, &Option<Tally>)| {
        rule.verdict(tally.as_ref(), chancery::domain::limit::UnderWay::NONE, NOW)
            == chancery::domain::limit::LimitVerdict::Go
    };
    if !counts.iter().zip(&locked).all(allowed) {
        return false;
    }
    tx.login_failures_add(counts, NOW).await.unwrap();
    tx.commit().await.unwrap();
    true
}

pub(crate) async fn no_two_attempts_are_allowed_by_the_same_count(f: &Fixture) {
    let (bucket, own) = (count(LimitKind::Mail, 1), count(LimitKind::Account, 1));
    let stores = [f.store.clone(), f.second().await];
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..24 {
        let store = stores[n % 2].clone();
        let counts = if n % 3 == 0 { [own, bucket] } else { [bucket, own] };
        tasks.spawn(async move { count_first(&store, &counts).await });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|allowed| *allowed).count(), 5);
    assert!(read(f, &[bucket, own]).await.into_iter().all(|t| t.unwrap().failures == 5), "a refusal counts nothing");
}

pub(crate) async fn a_locked_count_can_be_replaced(f: &Fixture) {
    let counts = [count(LimitKind::Network, 1), count(LimitKind::Account, 2)];
    let keys: Vec<_> = counts.iter().map(|(key, _)| *key).collect();
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.login_failures_lock(&keys, NOW).await.unwrap(), [None, None]);
    tx.login_failures_add(&counts, NOW).await.unwrap();
    let once = tx.login_failures_lock(&keys, NOW).await.unwrap();
    assert_eq!(once, counts.map(|(_, rule)| Some(rule.failed(None, NOW))));
    let other =
        Tally { failures: 7, level: Ttl::from_secs(3), failed_at: NOW, expires_at: NOW.plus(Ttl::from_secs(9)) };
    tx.login_failures_put(&keys[1], &other).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(read(f, &counts).await, [once[0], Some(other)]);
}
