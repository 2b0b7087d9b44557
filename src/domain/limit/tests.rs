use proptest::prelude::*;

use super::*;

const ONE: UnderWay = UnderWay { counted: 1, held: 0 };
const T0: Timestamp = Timestamp::from_millis(1_893_456_000_000);
const HOUR: Ttl = Ttl::from_secs(3600);

fn rule(kind: LimitKind) -> Rule {
    LimitSettings::default().rule(kind).unwrap()
}

fn secs(n: i64) -> Ttl {
    Ttl::from_secs(n)
}

/// Fails `times` times, each time as soon as an attempt is allowed. Returns the wait before each, and the count.
fn guess(rule: Rule, times: usize) -> (Vec<i64>, Option<Tally>, Timestamp) {
    let (mut now, mut tally, mut waits) = (T0, None, Vec::new());
    for _ in 0..times {
        let waited = match rule.verdict(tally.as_ref(), UnderWay::NONE, now) {
            LimitVerdict::Go => Ttl::from_millis(0),
            LimitVerdict::Wait(left) => left,
            LimitVerdict::Closed(_) => break,
            LimitVerdict::Busy(_) => unreachable!(),
        };
        now = now.plus(waited);
        assert_eq!(rule.verdict(tally.as_ref(), UnderWay::NONE, now), LimitVerdict::Go);
        waits.push(waited.millis() / 1000);
        tally = Some(rule.failed(tally.as_ref(), now));
    }
    (waits, tally, now)
}

#[test]
fn p05_five_failures_are_free_then_each_doubles_the_wait_and_a_hundred_close_the_account() {
    let (waits, tally, now) = guess(rule(LimitKind::Account), 1000);
    assert_eq!(waits[..17], [0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]);
    assert_eq!((waits.len(), waits.last()), (100, Some(&900)));
    let over = rule(LimitKind::Account).verdict(tally.as_ref(), UnderWay::NONE, now);
    assert_eq!(over, LimitVerdict::Closed(Ttl::from_days(100)));
    let forgotten = now.plus(Ttl::from_days(100));
    assert_eq!(rule(LimitKind::Account).verdict(tally.as_ref(), UnderWay::NONE, forgotten), LimitVerdict::Go);
    assert_eq!(rule(LimitKind::Account).failed(tally.as_ref(), forgotten).failures, 1);
}

#[test]
fn p05_concurrent_attempts_gain_nothing_over_sequential_ones() {
    let rule = rule(LimitKind::Account);
    let (mut tally, mut looked_at) = (None, 0);
    for _ in 0..10 {
        let mut together = 0;
        while rule.verdict(tally.as_ref(), UnderWay { counted: together, held: 0 }, T0) == LimitVerdict::Go {
            tally = Some(rule.failed(tally.as_ref(), T0));
            together += 1;
        }
        assert!(together <= 2);
        looked_at += together;
    }
    assert_eq!(looked_at, 6);
    // While an attempt is in flight whose failure would cause a wait, no other is allowed.
    for failures in [6, 99] {
        let (_, tally, now) = guess(rule, failures);
        let later = now.plus(HOUR);
        assert_eq!(rule.verdict(tally.as_ref(), UnderWay::NONE, later), LimitVerdict::Go);
        let one_in_flight = rule.failed(tally.as_ref(), later);
        assert_eq!(rule.verdict(Some(&one_in_flight), ONE, later), LimitVerdict::Busy(RETRY_SOON));
    }
}

#[test]
fn a_full_bucket_of_attempts_in_flight_is_busy_and_one_of_failures_is_not() {
    let rule = rule(LimitKind::Address);
    let full = (0..30).fold(None, |tally, _| Some(rule.failed(tally.as_ref(), T0)));
    assert_eq!(rule.verdict(full.as_ref(), ONE, T0), LimitVerdict::Busy(RETRY_SOON));
    assert_eq!(rule.verdict(full.as_ref(), UnderWay::NONE, T0), LimitVerdict::Wait(secs(10)));
    let over = rule.failed(full.as_ref(), T0);
    assert_eq!(rule.verdict(Some(&over), ONE, T0), LimitVerdict::Wait(secs(20)));
}

#[test]
fn an_attempt_that_is_taken_back_leaves_no_trace_and_those_of_others_stay() {
    for kind in LimitKind::ALL {
        let rule = rule(kind);
        let first = rule.failed(None, T0);
        assert_eq!(rule.taken_back(None, &first, &first), None);
        let second = rule.failed(Some(&first), T0.plus(Ttl::from_millis(1)));
        assert_eq!(rule.taken_back(Some(&first), &second, &second), Some(first));
        let left = rule.taken_back(None, &first, &second).unwrap();
        assert_eq!((left.failures, left.failed_at), (1, second.failed_at));
        assert!(left.level < second.level || second.level == Ttl::from_millis(0));
        assert_eq!(left.expires_at, second.expires_at.minus(rule.kept_per_failure()));
        assert_eq!(rule.taken_back(Some(&first), &second, &left), None, "both are taken back");
    }
}

#[test]
fn p05_all_known_devices_of_an_account_have_a_hundred_attempts_together() {
    let (waits, _, _) = guess(rule(LimitKind::Devices), 1000);
    assert_eq!((waits.len(), waits.iter().sum::<i64>()), (100, 0));
}

#[test]
fn p05_an_address_has_a_burst_of_30_failures_and_then_one_per_ten_seconds() {
    let (waits, tally, now) = guess(rule(LimitKind::Address), 60);
    assert_eq!(waits[..30], [0; 30]);
    assert_eq!(waits[30..], [10; 30]);
    assert_eq!(rule(LimitKind::Address).verdict(tally.as_ref(), UnderWay::NONE, now.plus(secs(300))), LimitVerdict::Go);
    let (waits, _, _) = guess(rule(LimitKind::Network), 300);
    assert_eq!(waits[..200], [0; 200]);
    // Failures that arrived concurrently beyond the capacity have to drain first.
    let mut burst = None;
    for _ in 0..50 {
        burst = Some(rule(LimitKind::Address).failed(burst.as_ref(), T0));
    }
    assert_eq!(rule(LimitKind::Address).verdict(burst.as_ref(), UnderWay::NONE, T0), LimitVerdict::Wait(secs(210)));
}

#[test]
fn an_operator_may_disable_the_limits_on_addresses() {
    let none = LimitSettings { address_failures: 0, network_failures: 0, ..LimitSettings::default() };
    assert_eq!((none.rule(LimitKind::Address), none.rule(LimitKind::Network)), (None, None));
    assert!(none.rule(LimitKind::Account).is_some());
}

#[test]
fn each_threshold_is_reported_once() {
    let rule = rule(LimitKind::Account);
    let (mut tally, mut steps) = (None, Vec::new());
    for n in 1..=120 {
        let next = rule.failed(tally.as_ref(), T0);
        steps.extend(rule.step(&next).map(|step| (n, step)));
        tally = Some(next);
    }
    assert_eq!(steps, [(16, LimitStep::Slowest), (100, LimitStep::Closed)]);
}

#[test]
fn a55_setting_the_clock_back_neither_prolongs_a_wait_nor_clears_a_count() {
    let rule = rule(LimitKind::Account);
    let (_, tally, now) = guess(rule, 20);
    let tally = tally.unwrap();
    // Within the clock skew, the wait is not prolonged.
    assert_eq!(rule.verdict(Some(&tally), UnderWay::NONE, now.minus(secs(30))), LimitVerdict::Wait(secs(900)));
    // Beyond that the clock was set back: one attempt is allowed, and from then on the new time counts.
    let back = now.minus(HOUR);
    assert_eq!(rule.verdict(Some(&tally), UnderWay::NONE, back), LimitVerdict::Go);
    let next = rule.failed(Some(&tally), back);
    assert_eq!((next.failures, next.failed_at), (21, back));
    assert_eq!(rule.verdict(Some(&next), UnderWay::NONE, back), LimitVerdict::Wait(secs(900)));
    let bucket = LimitSettings::default().rule(LimitKind::Address).unwrap();
    let (_, full, now) = guess(bucket, 30);
    let full = full.unwrap();
    let back = now.minus(HOUR);
    assert_eq!(bucket.verdict(Some(&full), UnderWay::NONE, back), LimitVerdict::Go);
    let next = bucket.failed(Some(&full), back);
    assert_eq!(bucket.verdict(Some(&next), UnderWay::NONE, back), LimitVerdict::Wait(secs(20)));
    // A step forward counts as time that passed.
    assert_eq!(rule.verdict(Some(&tally), UnderWay::NONE, now.plus(HOUR)), LimitVerdict::Go);
}

#[test]
fn a_limit_key_does_not_print_its_hash() {
    let key = LimitKey { kind: LimitKind::Account, hash: [7; 32] };
    assert_eq!(format!("{key:?}"), "LimitKey(account, …)");
}

proptest! {
    #[test]
    fn p05_the_wait_never_decreases_with_failures_and_never_exceeds_the_longest(
        free in 0i64..20, longest in 1i64..100_000, failures in 0i64..10_000,
    ) {
        let longest = secs(longest);
        let (one, next) = (wait_after(failures, free, longest), wait_after(failures + 1, free, longest));
        prop_assert!(Ttl::from_millis(0) <= one && one <= next && next <= longest);
        prop_assert!(failures > free || one == Ttl::from_millis(0));
    }

    #[test]
    fn a55_whatever_the_clock_does_a_wait_is_positive_bounded_and_ends(
        steps in proptest::collection::vec(-7_200_000i64..7_200_000, 1..60), in_a_row in any::<bool>(),
    ) {
        let rule = rule(if in_a_row { LimitKind::Account } else { LimitKind::Address });
        let bound = if in_a_row { secs(900) } else { secs(10 * 61) };
        let (mut now, mut tally) = (T0, None);
        for step in steps {
            now = now.plus(Ttl::from_millis(step));
            let next = rule.failed(tally.as_ref(), now);
            tally = Some(next);
            for moved in [0, step, -step, 3_600_000, -3_600_000] {
                let seen = now.plus(Ttl::from_millis(moved));
                if let LimitVerdict::Wait(left) = rule.verdict(Some(&next), UnderWay::NONE, seen) {
                    prop_assert!(left > Ttl::from_millis(0) && left <= bound, "{left:?}");
                    prop_assert_eq!(rule.verdict(Some(&next), UnderWay::NONE, seen.plus(left).plus(SKEW)), LimitVerdict::Go);
                }
            }
        }
    }
}

#[test]
fn attempts_that_are_not_counted_yet_fill_a_bucket_like_failures_until_they_are_done() {
    let rule = Rule::Bucket { room: 3, every: secs(10) };
    let held = |held| UnderWay { counted: 0, held };
    assert_eq!(rule.verdict(None, held(2), T0), LimitVerdict::Go);
    assert_eq!(rule.verdict(None, held(3), T0), LimitVerdict::Busy(RETRY_SOON));
    let one = rule.failed(None, T0);
    assert_eq!(rule.verdict(Some(&one), held(1), T0), LimitVerdict::Go);
    assert_eq!(rule.verdict(Some(&one), held(2), T0), LimitVerdict::Busy(RETRY_SOON));
    assert_eq!(rule.verdict(Some(&one), held(2), T0.plus(secs(10))), LimitVerdict::Go, "it drains");
    let three = rule.failed(Some(&rule.failed(Some(&one), T0)), T0);
    assert_eq!(rule.verdict(Some(&three), held(2), T0), LimitVerdict::Wait(secs(10)), "failures alone fill it");
}
