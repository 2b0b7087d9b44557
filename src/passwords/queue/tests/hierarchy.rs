//! Networks within networks.

use super::{Case, Evicted, Refused};

/// An address in the n-th /48 of one /32.
fn site(n: usize) -> String {
    format!("2001:db8:{n:x}::1")
}

#[test]
fn p09_a_provider_with_many_sites_gets_no_more_turns_than_one_other_address() {
    let mut case = Case::new(64);
    for n in 0..40 {
        case.enter(&format!("a{n}"), &site(n));
    }
    for n in 0..4 {
        case.enter(&format!("b{n}"), "192.0.2.1");
    }
    let order: Vec<_> = (0..8).filter_map(|_| case.next()).collect();
    assert_eq!(order, ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3"]);
}

#[test]
fn p09_the_networks_of_one_site_and_the_machines_of_one_network_take_turns() {
    let mut case = Case::new(64);
    // A flood from one machine, then its neighbours: in its network, in its site, at its provider.
    for n in 0..9 {
        case.enter(&format!("a{n}"), "2001:db8::1");
    }
    case.enter("network", "2001:db8:0:1::1");
    case.enter("site", "2001:db8:0:100::1");
    case.enter("provider", "2001:db8:1::1");
    let order: Vec<_> = (0..8).filter_map(|_| case.next()).collect();
    assert_eq!(order, ["a0", "provider", "site", "network", "a1", "a2", "a3", "a4"]);
    assert_eq!(case.drain(), "a5 a6 a7 a8");
    assert_eq!((case.queue.waiting(), case.queue.accounts.len(), case.queue.all.networks()), (0, 0, 0));
}

#[test]
fn p09_a_queue_full_of_sites_of_one_provider_makes_room_for_others_and_for_a_neighbour() {
    let mut case = Case::new(8);
    for n in 0..7 {
        case.enter(&format!("a{n}"), &site(n));
    }
    case.enter("a7", &site(0));
    // Every line is short, but together they are one provider.
    for (n, address) in ["192.0.2.1", "198.51.100.1", "2001:db9::1"].iter().enumerate() {
        let (place, evicted) = case.admit(&format!("b{n}"), address).unwrap();
        assert!(matches!(evicted, Some(Evicted(Some(name))) if name.starts_with('a')));
        case.queue.attach(place, format!("b{n}")).unwrap();
    }
    assert_eq!(case.queue.waiting(), 8);
    // Another site of the same provider has no more claim than those that wait.
    assert_eq!(case.admit("c", &site(9)).unwrap_err(), Refused::Full);
}

#[test]
fn p09_a_flood_from_one_site_does_not_lock_out_a_neighbour_at_the_same_provider() {
    let mut case = Case::new(8);
    for n in 0..8 {
        case.enter(&format!("a{n}"), &format!("2001:db8:7:{n:x}00::1"));
    }
    let (_, evicted) = case.admit("neighbour", "2001:db8:8::1").unwrap();
    assert_eq!(evicted, Some(Evicted(Some("a7".to_owned()))));
    let (_, evicted) = case.admit("stranger", "192.0.2.1").unwrap();
    assert!(evicted.is_some());
}
