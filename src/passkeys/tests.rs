//! What is accepted, and the attacks of A-48 on it.

use serde_json::Value;

use super::*;
use crate::{
    domain::{
        passkey::{Credential, HANDLE},
        site::Site,
    },
    entropy::SeededEntropy,
};

#[path = "../../tests/support/authenticator.rs"]
mod authenticator;
mod odd;

use self::authenticator::{Alg, Authenticator, BE, BS, Says, UP, UV, cbor_bytes, client_data};

const ORIGIN: &str = "https://shop.example:8443";
const USER: [u8; HANDLE] = [9; HANDLE];

fn rp() -> RelyingParty {
    RelyingParty::of(&format!("{ORIGIN}/auth").parse().unwrap(), "The shop").unwrap()
}

fn challenge(byte: u8) -> Challenge {
    Challenge::of([byte; 16])
}

fn creation() -> Value {
    serde_json::from_str(&creation_options(&rp(), challenge(1), (&USER, "ada"), &[])).unwrap()
}

fn register_with(says: &Says, alg: Alg) -> Result<(Authenticator, NewPasskey), PasskeyFault> {
    let mut device = Authenticator::new(alg);
    let response = device.create(&creation(), says).to_string();
    register(&rp(), challenge(1), &USER, &response).map(|passkey| (device, passkey))
}

fn registered(says: &Says) -> (Authenticator, Credential) {
    let (device, passkey) = register_with(says, Alg::Es256).unwrap();
    (device, passkey.stored)
}

fn request(stored: &Credential, purpose: Purpose) -> Value {
    let allowed = if purpose == Purpose::Alone { &[][..] } else { std::slice::from_ref(stored) };
    serde_json::from_str(&request_options(&rp(), challenge(2), allowed, purpose)).unwrap()
}

fn sign_in(
    device: &mut Authenticator,
    stored: &Credential,
    says: &Says,
    purpose: Purpose,
) -> Result<Used, PasskeyFault> {
    let response = device.get(&request(stored, purpose), says).to_string();
    Signed::parse(&response, purpose)?.check(&rp(), challenge(2), &USER, stored)
}

fn right() -> Says {
    Says::at(ORIGIN)
}

type Change = fn(&mut Says);

/// What no answer may say, whatever it is an answer to.
fn forbidden() -> Vec<(&'static str, Change, PasskeyFault)> {
    vec![
        ("another host", |s| s.origin = "https://evil.example:8443".into(), PasskeyFault::Origin),
        ("a host below", |s| s.origin = "https://a.shop.example:8443".into(), PasskeyFault::Origin),
        ("a host above", |s| s.origin = "https://example:8443".into(), PasskeyFault::Origin),
        ("another port", |s| s.origin = "https://shop.example".into(), PasskeyFault::Origin),
        ("another scheme", |s| s.origin = "http://shop.example:8443".into(), PasskeyFault::Origin),
        ("more behind it", |s| s.origin.push('/'), PasskeyFault::Origin),
        ("other letters", |s| s.origin = "https://SHOP.example:8443".into(), PasskeyFault::Origin),
        ("a frame", |s| s.cross_origin = true, PasskeyFault::Origin),
        ("another challenge", |s| s.challenge = Some("AAAAAAAAAAAAAAAAAAAAAA".into()), PasskeyFault::Challenge),
        ("a short challenge", |s| s.challenge = Some("AAAA".into()), PasskeyFault::Unreadable),
        ("the hash of another host", |s| s.host = "evil.example".into(), PasskeyFault::RelyingParty),
        ("the hash of a host below", |s| s.host = "a.shop.example".into(), PasskeyFault::RelyingParty),
        ("backed up but not eligible", |s| s.flags = UP | UV | BS, PasskeyFault::Unreadable),
    ]
}

#[test]
fn p21_a_passkey_is_made_and_signs_in_alone_and_as_second_factor() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let (mut device, made) = register_with(&right(), alg).unwrap();
        assert!(made.verified && !made.can_be_copied);
        assert_eq!(made.stored.transports, "hybrid internal");
        for purpose in [Purpose::Alone, Purpose::SecondFactor] {
            let used = sign_in(&mut device, &made.stored, &right(), purpose).unwrap();
            assert!(used.verified && !used.can_be_copied);
            assert_ne!(used.dynamic_state, made.stored.dynamic_state, "the counter has moved");
        }
    }
}

#[test]
fn a48_no_other_origin_host_challenge_or_contradiction_makes_a_passkey() {
    for (what, change, fault) in forbidden() {
        let mut says = right();
        change(&mut says);
        assert_eq!(register_with(&says, Alg::Es256).err(), Some(fault), "{what}");
    }
    let without_presence = Says { flags: UV, ..right() };
    assert_eq!(register_with(&without_presence, Alg::Es256).err(), Some(PasskeyFault::Other));
    let of_sign_in = Says { kind: Some("webauthn.get"), ..right() };
    assert_eq!(register_with(&of_sign_in, Alg::Es256).err(), Some(PasskeyFault::Unreadable));
}

#[test]
fn a48_no_other_origin_host_challenge_or_contradiction_signs_in() {
    for purpose in [Purpose::Alone, Purpose::SecondFactor] {
        let (mut device, stored) = registered(&right());
        for (what, change, fault) in forbidden() {
            let mut says = right();
            change(&mut says);
            assert_eq!(sign_in(&mut device, &stored, &says, purpose).err(), Some(fault), "{what}");
        }
        let of_registration = Says { kind: Some("webauthn.create"), ..right() };
        assert_eq!(sign_in(&mut device, &stored, &of_registration, purpose).err(), Some(PasskeyFault::Unreadable));
        let without_presence = Says { flags: UV, ..right() };
        assert_eq!(sign_in(&mut device, &stored, &without_presence, purpose).err(), Some(PasskeyFault::Unreadable));
    }
}

#[test]
fn a48_a_key_of_a_kind_that_was_not_offered_is_refused() {
    assert_eq!(register_with(&right(), Alg::Es384).err(), Some(PasskeyFault::Unreadable), "not even on the curve");
    let offered: Vec<_> =
        creation()["pubKeyCredParams"].as_array().unwrap().iter().map(|p| p["alg"].as_i64().unwrap()).collect();
    assert_eq!(offered, [-8, -7, -257]);
}

#[test]
fn a48_a_signature_of_another_key_is_refused() {
    let (_, stored) = registered(&right());
    let mut thief = Authenticator::new(Alg::Es256);
    thief.id.clone_from(&stored.id);
    thief.handle = USER.to_vec();
    for purpose in [Purpose::Alone, Purpose::SecondFactor] {
        assert_eq!(sign_in(&mut thief, &stored, &right(), purpose).err(), Some(PasskeyFault::Signature));
    }
    let mut other_kind = Authenticator::new(Alg::EdDsa);
    other_kind.id.clone_from(&stored.id);
    other_kind.handle = USER.to_vec();
    assert!(sign_in(&mut other_kind, &stored, &right(), Purpose::Alone).is_err(), "another kind of key");
}

#[test]
fn a48_a_passkey_of_another_user_is_refused() {
    let (mut device, stored) = registered(&right());
    let of_another = Says { handle: Some(vec![8; HANDLE]), ..right() };
    for purpose in [Purpose::Alone, Purpose::SecondFactor] {
        assert_eq!(sign_in(&mut device, &stored, &of_another, purpose).err(), Some(PasskeyFault::UserHandle));
    }
    let (_, other) = registered(&right());
    let named = Says { credential: Some(other.id), ..right() };
    for purpose in [Purpose::Alone, Purpose::SecondFactor] {
        assert_eq!(sign_in(&mut device, &stored, &named, purpose).err(), Some(PasskeyFault::Credential));
    }
    let nobody = Says { handle: Some(Vec::new()), ..right() };
    assert_eq!(sign_in(&mut device, &stored, &nobody, Purpose::Alone).err(), Some(PasskeyFault::Unreadable));
    assert!(sign_in(&mut device, &stored, &nobody, Purpose::SecondFactor).is_ok());
}

#[test]
fn a48_a_counter_that_goes_back_is_refused_and_one_that_stays_at_zero_is_not() {
    let (mut device, mut stored) = registered(&right());
    let at = |counter| Says { counter: Some(counter), ..right() };
    stored.dynamic_state = sign_in(&mut device, &stored, &at(10), Purpose::Alone).unwrap().dynamic_state;
    for counter in [10, 9, 1, 0] {
        let back = sign_in(&mut device, &stored, &at(counter), Purpose::Alone);
        assert_eq!(back.err(), Some(PasskeyFault::Counter), "{counter}");
    }
    stored.dynamic_state = sign_in(&mut device, &stored, &at(11), Purpose::SecondFactor).unwrap().dynamic_state;

    let (mut device, mut stored) = registered(&right());
    for _ in 0..3 {
        stored.dynamic_state = sign_in(&mut device, &stored, &at(0), Purpose::Alone).unwrap().dynamic_state;
    }
}

#[test]
fn p21_whether_a_passkey_can_be_copied_never_changes_and_its_backup_may() {
    let flags = |flags| Says { flags, ..right() };
    let (mut bound, stored) = registered(&right());
    for eligible in [UP | UV | BE, UP | UV | BE | BS] {
        assert_eq!(sign_in(&mut bound, &stored, &flags(eligible), Purpose::Alone).err(), Some(PasskeyFault::Backup));
    }
    let (mut synced, mut stored) = registered(&flags(UP | UV | BE));
    assert_eq!(sign_in(&mut synced, &stored, &right(), Purpose::Alone).err(), Some(PasskeyFault::Backup));
    for state in [UP | UV | BE | BS, UP | UV | BE] {
        let used = sign_in(&mut synced, &stored, &flags(state), Purpose::Alone).unwrap();
        assert!(used.can_be_copied);
        stored.dynamic_state = used.dynamic_state;
    }
}

#[test]
fn p23_a_passkey_signs_in_alone_only_if_its_user_was_verified_and_vouched_for() {
    let unverified = Says { flags: UP, ..right() };
    let (mut device, mut stored) = registered(&right());
    assert_eq!(sign_in(&mut device, &stored, &unverified, Purpose::Alone).err(), Some(PasskeyFault::NotVerified));
    assert!(!sign_in(&mut device, &stored, &unverified, Purpose::SecondFactor).unwrap().verified);

    // Made without verification: whoever finds it could set a PIN. A sign-in with the password vouches for the PIN.
    (device, stored) = registered(&unverified);
    assert_eq!(sign_in(&mut device, &stored, &right(), Purpose::Alone).err(), Some(PasskeyFault::NotVerified));
    stored.dynamic_state = sign_in(&mut device, &stored, &unverified, Purpose::SecondFactor).unwrap().dynamic_state;
    assert_eq!(sign_in(&mut device, &stored, &right(), Purpose::Alone).err(), Some(PasskeyFault::NotVerified));
    stored.dynamic_state = sign_in(&mut device, &stored, &right(), Purpose::SecondFactor).unwrap().dynamic_state;
    assert!(sign_in(&mut device, &stored, &right(), Purpose::Alone).unwrap().verified);
}

#[test]
fn p22_an_id_longer_than_1023_bytes_is_refused() {
    let with = |length| Says { credential: Some(vec![5; length]), ..right() };
    assert!(register_with(&with(1023), Alg::Es256).is_ok());
    for length in [1024, 4000] {
        assert_eq!(register_with(&with(length), Alg::Es256).err(), Some(PasskeyFault::Unreadable), "{length}");
    }
}

#[test]
fn a48_what_is_too_large_is_not_even_parsed() {
    let device = Authenticator::new(Alg::Es256);
    let data = client_data(&creation(), &right(), "webauthn.create");
    let huge = Authenticator::created(&device.id, &data, &vec![0; 2 << 20]).to_string();
    assert_eq!(register(&rp(), challenge(1), &USER, &huge).err(), Some(PasskeyFault::TooLarge));
    assert_eq!(Signed::parse(&huge, Purpose::Alone).err(), Some(PasskeyFault::TooLarge));
}

#[test]
fn a48_nested_cbor_and_json_end_as_unreadable() {
    let device = Authenticator::new(Alg::Es256);
    let data = client_data(&creation(), &right(), "webauthn.create");
    let array_in_array = vec![0x81; 40_000];
    let map_in_map = [0xa1, 0x01].repeat(20_000);
    let in_authenticator_data =
        [&b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData"[..], &cbor_bytes(&map_in_map)].concat();
    let in_statement = [&b"\xa3\x63fmt\x64none\x67attStmt"[..], &map_in_map].concat();
    for object in [array_in_array, map_in_map, in_authenticator_data, in_statement, Vec::new()] {
        let response = Authenticator::created(&device.id, &data, &object).to_string();
        assert_eq!(register(&rp(), challenge(1), &USER, &response).err(), Some(PasskeyFault::Unreadable));
    }
    let nested = "[".repeat(60_000);
    assert_eq!(register(&rp(), challenge(1), &USER, &nested).err(), Some(PasskeyFault::Unreadable));
    assert_eq!(Signed::parse(&nested, Purpose::Alone).err(), Some(PasskeyFault::Unreadable));
    let nested = format!("{{\"type\":{}", "{\"a\":".repeat(8_000));
    let response = Authenticator::created(&device.id, &nested, b"").to_string();
    assert_eq!(register(&rp(), challenge(1), &USER, &response).err(), Some(PasskeyFault::Unreadable));
}

#[test]
fn there_are_passkeys_for_names_and_none_for_addresses() {
    let of = |site: &str| RelyingParty::of(&site.parse::<Site>().unwrap(), "x");
    assert!(of("https://127.0.0.1/auth").is_none());
    assert!(of("http://127.0.0.1:8000/auth").is_none());
    assert!(of("http://[::1]:8000/auth").is_none());
    let local = of("http://localhost:8000/auth").unwrap();
    assert_eq!((local.host(), local.origin()), ("localhost", "http://localhost:8000"));
    assert_eq!(of("https://xn--bcher-kva.example/auth").unwrap().host(), "xn--bcher-kva.example");
}

#[test]
fn options_name_the_host_and_the_passkeys_and_ask_for_no_attestation() {
    let (_, stored) = registered(&right());
    let options = creation_options(&rp(), challenge(1), (&USER, "ada"), std::slice::from_ref(&stored));
    let options: Value = serde_json::from_str(&options).unwrap();
    assert_eq!(options["rp"]["id"], "shop.example");
    assert_eq!(options["attestation"], "none");
    assert_eq!(options["excludeCredentials"][0]["transports"], serde_json::json!(["hybrid", "internal"]));
    assert_eq!(options["user"]["name"], "ada");
    assert_eq!(request(&stored, Purpose::Alone)["userVerification"], "required");
    assert_eq!(request(&stored, Purpose::Alone)["allowCredentials"], serde_json::json!([]));
    assert_eq!(request(&stored, Purpose::SecondFactor)["userVerification"], "preferred");
    let long = "ä".repeat(60);
    let options: Value = serde_json::from_str(&creation_options(&rp(), challenge(1), (&USER, &long), &[])).unwrap();
    assert_eq!(options["user"]["name"].as_str().unwrap().len(), 64);
}

#[test]
fn challenges_are_random_and_do_not_appear_in_debug_output() {
    let entropy = SeededEntropy::new(1);
    let (one, other) = (Challenge::new(&entropy), Challenge::new(&entropy));
    assert_ne!(one, other);
    assert_eq!(format!("{one:?}"), "Challenge(…)");
}
