use std::time::Duration;

use super::*;

mod hierarchy;

const SECOND: Duration = Duration::from_secs(1);

fn applicant(account: &str, address: &str) -> Applicant {
    Applicant { account: Account::of(account), prefix: Prefix::of(address), known_device: false, deadline: None }
}

/// A queue in which the work is the name of the account.
struct Case {
    queue: Queue<String>,
    pace: Pace,
    now: Instant,
}

impl Case {
    /// One thread, busy with a hash that takes a second.
    fn new(capacity: usize) -> Self {
        let mut pace = Pace::new(1);
        pace.begin();
        pace.end(Some(SECOND));
        pace.begin();
        Self { queue: Queue::new(capacity), pace, now: Instant::now() }
    }

    fn admit(&mut self, account: &str, address: &str) -> Result<(PlaceId, Option<Evicted<String>>), Refused> {
        self.queue.admit(&applicant(account, address), self.now, &self.pace)
    }

    fn admit_until(&mut self, account: &str, address: &str, deadline: Duration) -> Result<PlaceId, Refused> {
        let applicant = Applicant { deadline: Some(self.now + deadline), ..applicant(account, address) };
        self.queue.admit(&applicant, self.now, &self.pace).map(|(place, _)| place)
    }

    fn enter(&mut self, account: &str, address: &str) -> PlaceId {
        let (place, evicted) = self.admit(account, address).unwrap();
        assert_eq!(evicted, None, "{account}");
        self.queue.attach(place, account.to_owned()).unwrap();
        place
    }

    /// Like [`Case::enter`], but from a known device.
    fn enter_known(&mut self, account: &str, address: &str) -> Result<(), Refused> {
        let applicant = Applicant { known_device: true, ..applicant(account, address) };
        let (place, evicted) = self.queue.admit(&applicant, self.now, &self.pace)?;
        assert_eq!(evicted, None, "{account}");
        self.queue.attach(place, account.to_owned()).unwrap();
        Ok(())
    }

    fn next(&mut self) -> Option<String> {
        self.queue.next(self.now).work
    }

    fn drain(&mut self) -> String {
        std::iter::from_fn(|| self.next()).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn p09_address_prefixes_take_turns() {
    let mut case = Case::new(9);
    for (account, address) in [("a1", "10.0.0.1"), ("a2", "10.0.0.2"), ("a3", "10.0.0.3"), ("b1", "10.0.1.1")] {
        case.enter(account, address);
    }
    assert_eq!(case.next().as_deref(), Some("a1"));
    // A prefix that was just served goes behind all others.
    for (account, address) in [("c1", "2001:db8::1"), ("a4", "10.0.0.4"), ("b2", "10.0.1.2"), ("u1", "")] {
        case.enter(account, address);
    }
    assert_eq!(case.drain(), "b1 a2 c1 u1 b2 a3 a4");
    assert_eq!((case.queue.waiting(), case.queue.accounts.len(), case.queue.all.networks()), (0, 0, 0));
}

#[test]
fn p09_a_flood_from_one_prefix_does_not_lock_out_others() {
    let mut case = Case::new(4);
    for n in 0..4 {
        case.enter(&format!("a{n}"), "10.0.0.1");
    }
    assert_eq!(case.admit("a4", "10.0.0.1").unwrap_err(), Refused::Full);
    let (place, evicted) = case.admit("b0", "10.0.1.1").unwrap();
    assert_eq!(evicted, Some(Evicted(Some("a3".to_owned()))), "the newest of the longest line");
    case.queue.attach(place, "b0".to_owned()).unwrap();
    let (place, evicted) = case.admit("b1", "10.0.1.2").unwrap();
    assert_eq!(evicted, Some(Evicted(Some("a2".to_owned()))));
    case.queue.attach(place, "b1".to_owned()).unwrap();
    // Now both lines are equally long: neither can evict from the other.
    assert_eq!(case.admit("b2", "10.0.1.3").unwrap_err(), Refused::Full);
    assert_eq!(case.admit("a5", "10.0.0.1").unwrap_err(), Refused::Full);
    for (account, address) in [("c0", "10.0.2.1"), ("d0", "10.0.3.1")] {
        assert!(case.admit(account, address).unwrap().1.is_some());
    }
    assert_eq!(case.admit("e0", "10.0.4.1").unwrap_err(), Refused::Full, "four places, four prefixes");
    assert_eq!(case.queue.waiting(), 4);
    // An evicted sign-in may come back later.
    assert_eq!(case.drain(), "a0 b0");
    case.enter("a3", "10.0.0.1");
}

#[test]
fn p09_an_account_waits_once() {
    let mut case = Case::new(8);
    case.enter("ada", "10.0.0.1");
    assert_eq!(case.admit("ada", "10.0.9.1").unwrap_err(), Refused::AccountWaits);
    assert_eq!(case.next().as_deref(), Some("ada"));
    // While a password is being hashed it does not count as waiting: a second device may queue.
    let second = case.enter("ada", "10.0.9.1");
    assert_eq!(case.queue.withdraw(second), Some("ada".to_owned()));
    case.enter("ada", "10.0.0.1");
}

#[test]
fn p09_a_place_that_is_given_up_is_free_at_once() {
    let mut case = Case::new(2);
    let (reserved, _) = case.admit("a", "10.0.0.1").unwrap();
    let ready = case.enter("b", "10.0.0.1");
    assert_eq!(case.admit("c", "10.0.0.1").unwrap_err(), Refused::Full);
    assert_eq!(case.queue.withdraw(reserved), None);
    assert_eq!(case.queue.withdraw(ready), Some("b".to_owned()));
    assert_eq!(case.queue.withdraw(ready), None, "twice is once");
    assert_eq!(case.queue.waiting(), 0);
    assert_eq!(case.queue.attach(reserved, "a".to_owned()), Err("a".to_owned()));
    case.enter("c", "10.0.0.1");
}

#[test]
fn a_place_without_work_is_skipped_and_keeps_its_turn() {
    let mut case = Case::new(8);
    let (slow, _) = case.admit("slow", "10.0.0.1").unwrap();
    assert_eq!(case.next(), None);
    case.enter("b", "10.0.1.1");
    case.enter("c", "10.0.2.1");
    assert_eq!(case.next().as_deref(), Some("b"));
    case.queue.attach(slow, "slow".to_owned()).unwrap();
    assert_eq!(case.drain(), "slow c");
}

#[test]
fn p09_a_sign_in_that_cannot_be_served_in_time_is_refused_at_once() {
    let mut case = Case::new(8);
    // Half a second for the hash in progress, then a second for its own.
    assert_eq!(case.admit_until("a", "10.0.0.1", SECOND), Err(Refused::TooLate));
    let place = case.admit_until("a", "10.0.0.1", SECOND * 2).unwrap();
    case.queue.attach(place, "a".to_owned()).unwrap();
    for n in 0..3 {
        case.enter(&format!("b{n}"), "10.0.1.1");
    }
    // One entry of each line is served before a new sign-in in a third line, and all of the long line before another
    // one in that line.
    assert_eq!(case.admit_until("c", "10.0.2.1", SECOND * 3), Err(Refused::TooLate));
    assert!(case.admit_until("c", "10.0.2.1", SECOND * 4).is_ok());
    assert_eq!(case.admit_until("b3", "10.0.1.1", SECOND * 6), Err(Refused::TooLate));
    assert!(case.admit_until("b3", "10.0.1.1", SECOND * 7).is_ok());
    assert_eq!(case.admit_until("d", "10.0.3.1", Duration::ZERO), Err(Refused::Expired));
    assert_eq!(case.queue.waiting(), 6);
}

#[test]
fn an_idle_thread_tries_whatever_the_estimate_is() {
    let mut case = Case::new(8);
    case.pace.end(Some(SECOND));
    assert!(case.admit_until("a", "10.0.0.1", SECOND / 100).is_ok());
    assert_eq!(case.admit_until("b", "10.0.0.1", SECOND / 100), Err(Refused::TooLate));
}

#[test]
fn p09_work_past_its_deadline_is_dropped_at_its_turn() {
    let mut case = Case::new(8);
    for name in ["late", "later"] {
        let place = case.admit_until(name, "10.0.0.1", SECOND * 9).unwrap();
        case.queue.attach(place, name.to_owned()).unwrap();
    }
    case.enter("patient", "10.0.0.1");
    case.now += SECOND * 9;
    let turn = case.queue.next(case.now);
    assert_eq!((turn.work.as_deref(), turn.expired), (Some("patient"), vec!["late".to_owned(), "later".to_owned()]));
    assert_eq!(case.queue.waiting(), 0);
}

#[test]
fn p09_new_passwords_have_their_own_share_of_turns() {
    let mut case = Case::new(8);
    for n in 0..8 {
        case.enter(&format!("a{n}"), &format!("10.0.{n}.1"));
    }
    for n in 0..STORING {
        case.queue.admit_storing(format!("s{n}")).unwrap();
    }
    assert_eq!(case.queue.admit_storing("one too many".to_owned()), Err(Refused::Full));
    let order = case.drain();
    assert!(order.starts_with("a0 a1 a2 s0 a3 a4 a5 s1 a6 a7 s2 s3"), "{order}");
    let place = case.queue.admit_storing("x".to_owned()).unwrap();
    assert_eq!(case.queue.withdraw(place).as_deref(), Some("x"));
    assert_eq!(case.queue.waiting(), 0);
}

#[test]
fn p05_in_a_flood_known_devices_have_places_and_every_other_turn() {
    let mut case = Case::new(8);
    for n in 0..8 {
        case.enter(&format!("a{n}"), &format!("10.0.{n}.1"));
    }
    assert_eq!(case.admit("a8", "10.0.8.1").unwrap_err(), Refused::Full);
    for n in 0..2 {
        case.enter_known(&format!("k{n}"), "10.0.8.1").unwrap();
    }
    assert_eq!(case.enter_known("k2", "10.0.8.1"), Err(Refused::Full), "a quarter more places, and no others");
    assert_eq!(case.queue.waiting(), 10);
    assert_eq!(case.drain(), "k0 a0 k1 a1 a2 a3 a4 a5 a6 a7");
    assert_eq!((case.queue.waiting(), case.queue.accounts.len()), (0, 0));
}

#[test]
fn p05_known_devices_use_other_places_when_their_own_are_taken() {
    let mut case = Case::new(4);
    for n in 0..4 {
        case.enter_known(&format!("k{n}"), "10.0.0.1").unwrap();
    }
    case.enter("a0", "10.0.1.1");
    assert_eq!(case.admit("a1", "10.0.0.1").unwrap_err(), Refused::Full);
    assert_eq!(case.drain(), "k0 k1 a0 k2 k3");
}

#[test]
fn p05_among_known_devices_a_flood_from_one_prefix_does_not_lock_out_others() {
    let mut case = Case::new(8);
    for n in 0..8 {
        case.enter(&format!("a{n}"), &format!("10.0.{n}.1"));
    }
    for n in 0..2 {
        case.enter_known(&format!("k{n}"), "10.0.8.1").unwrap();
    }
    let other = Applicant { known_device: true, ..applicant("o", "10.0.9.1") };
    let (_, evicted) = case.queue.admit(&other, case.now, &case.pace).unwrap();
    assert_eq!(evicted, Some(Evicted(Some("k1".to_owned()))));
}

#[test]
fn p05_strangers_at_an_account_do_not_block_its_known_devices() {
    let mut case = Case::new(8);
    case.enter("ada", "10.0.0.1");
    assert_eq!(case.admit("ada", "10.0.9.1").unwrap_err(), Refused::AccountWaits);
    let device = Applicant { account: Account::named([7; 32]), known_device: true, ..applicant("", "10.0.9.1") };
    let (place, _) = case.queue.admit(&device, case.now, &case.pace).unwrap();
    case.queue.attach(place, "ada's laptop".to_owned()).unwrap();
    assert_eq!(case.drain(), "ada's laptop ada");
}

#[test]
fn p09_the_estimate_includes_the_turns_of_known_devices() {
    let mut case = Case::new(8);
    for n in 0..3 {
        case.enter(&format!("a{n}"), "10.0.0.1");
    }
    // Half a second for the hash in progress, a second for one stranger, then its own.
    let known = |deadline: Duration| Applicant {
        known_device: true,
        deadline: Some(case.now + deadline),
        ..applicant("k", "10.0.1.1")
    };
    let (soon, later) = (known(SECOND * 2), known(SECOND * 3));
    assert_eq!(case.queue.admit(&soon, case.now, &case.pace).unwrap_err(), Refused::TooLate);
    assert!(case.queue.admit(&later, case.now, &case.pace).is_ok());
}
