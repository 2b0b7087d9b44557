//! Known answers for what browsers hold, computed by other code: HKDF and HMAC from Python's standard library, AES-GCM
//! from its `cryptography`. Cookies, `r` and forms that are out there depend on every byte.

use proptest::prelude::*;
use ulid::Ulid;
use zeroize::Zeroizing;

use super::{
    SealingKey, SealingKeys, flow_seal,
    form_id::{self, FormId},
    form_token::{self, FormPurpose},
    session_cookie::{self, ReadCookie},
    visitor_cookie,
};
use crate::{
    domain::{
        client::ClientId,
        flow::{FlowState, OwnPage, Prompt, Required},
        return_path::ReturnPath,
        site::Site,
    },
    entropy::{OsEntropy, SeededEntropy},
    id::{SessionId, VisitorId},
    secret::{SessionSecret, with_checksum},
    time::{Timestamp, Ttl},
};

const SITE: &str = "https://shop.example";
const SESSION: &str = "chb_AQEAAQIDBAUGBwgJCgsMDQ4Pq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6stQPBOFPnDdr5HQBlGumca3a8nGgMMKODlkJMa6NnOlQ";
const VISITOR: &str = "chv_AQEQERITFBUWFxgZGhscHR4fAABVm6w7GR5st8Tt_SqX1ulImTd4mrf1Rc77hENzgq-VrzXm";
const FLOW: &str = "AQFMu9jKUhW40WGuwYGnS2lPt1M3G_pxG5iUVZSo5uRhqfqTg7os";
const FORM: &str = "AQGBTde5eE1XwVucKXLptP1snkNW4g6mvNypqElwrGtW4cT23QPrOj0xP-5BW6EzeCpNnpBlMHc6OUIHLgZvC9yfet1cYbicRzD3JGhjJq9s\
                    0jnpkEd-ET8LERoRkA";

fn key(byte: u8) -> SealingKeys {
    SealingKey::new(&Zeroizing::new([byte; 32])).into()
}

fn session() -> SessionId {
    SessionId::from_ulid(Ulid::from_bytes(std::array::from_fn(|at| u8::try_from(at).unwrap())))
}

fn visitor() -> VisitorId {
    VisitorId(std::array::from_fn(|at| u8::try_from(at + 16).unwrap()))
}

fn secret() -> SessionSecret {
    SessionSecret(Zeroizing::new([0xab; 32]))
}

fn form() -> FormId {
    FormId::new(SITE, visitor(), Timestamp::from_millis(1_893_456_000_000), &SeededEntropy::new(1))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn s02_a_session_cookie_has_the_known_bytes_and_reads_back() {
    let cookie = session_cookie::mint(&key(7), &session(), &secret(), false);
    assert_eq!(cookie.expose(), SESSION);
    let kept = session_cookie::mint(&key(7), &session(), &secret(), true);
    for (text, kept) in [(SESSION, false), (kept.expose(), true)] {
        let read = session_cookie::parse(&key(7), text).unwrap();
        assert!(read.session == session() && read.secret.hash().matches(&secret().hash()) && read.kept == kept);
        // Neither is made of the other.
        let other = text.replacen(if kept { "chb_Ag" } else { "chb_AQ" }, if kept { "chb_AQ" } else { "chb_Ag" }, 1);
        assert!(other != text && session_cookie::parse(&key(7), &other).is_none());
    }
    assert_eq!(format!("{cookie:?}"), "SessionCookie(…)");
}

#[test]
fn s02_a_visitors_cookie_has_the_known_bytes_and_reads_back() {
    let cookie = visitor_cookie::mint(&key(7), &visitor(), 21_915);
    assert_eq!(cookie.expose(), VISITOR);
    assert_eq!(visitor_cookie::parse(&key(7), VISITOR), Some((visitor(), 21_915)));
    assert_eq!(visitor().to_string(), "vis_0G2491650N2RBHG68T3CE1T7GZ");
    assert_eq!(format!("{cookie:?}"), "VisitorCookie(…)");
}

#[test]
fn the_state_of_a_flow_has_the_known_bytes_and_opens() {
    assert_eq!(flow_seal::seal(&key(7), b"plain", &SeededEntropy::new(1)).unwrap(), FLOW);
    assert_eq!(flow_seal::open(&key(7), FLOW).unwrap().as_slice(), b"plain");
}

#[test]
fn the_id_of_a_form_has_the_known_bytes_and_opens() {
    let entropy = SeededEntropy::new(1);
    let form = FormId::new(SITE, visitor(), Timestamp::from_millis(1_893_456_000_000), &entropy);
    assert_eq!(form_id::mint(&key(7), &form, &entropy), FORM);
    assert_eq!(form_id::parse(&key(7), FORM), Some(form));
}

#[test]
fn the_proof_of_a_form_has_the_known_bytes_and_differs_with_each_part() {
    let proof = |form: &FormId, parts: &[&[u8]]| form_id::proof(&key(7), form, parts);
    let known = proof(&form(), &[b"ada", b"correct horse"]);
    assert_eq!(hex(&known), "ab42b22dad1be349894454081d71e18b7fb77872488af3269eb0a729ad69f010");
    assert!(form_id::same_proof(&known, &proof(&form(), &[b"ada", b"correct horse"])));
    for other in [
        proof(&form(), &[b"ada", b"correct horsf"]),
        proof(&form(), &[b"adac", b"orrect horse"]),
        proof(&FormId { id: [0; 16], ..form() }, &[b"ada", b"correct horse"]),
        proof(&FormId { visitor: VisitorId([0; 16]), ..form() }, &[b"ada", b"correct horse"]),
        proof(&FormId { site: "https://other.example".to_owned(), ..form() }, &[b"ada", b"correct horse"]),
        form_id::proof(&key(8), &form(), &[b"ada", b"correct horse"]),
    ] {
        assert!(!form_id::same_proof(&known, &other));
    }
}

#[test]
fn what_a_row_keeps_for_a_browser_has_the_known_bytes() {
    let sealed = key(7).in_use().seal_for_browser(b"plain", "a", &SeededEntropy::new(1));
    assert_eq!(hex(&sealed), "4cbbd8ca5215b8d161aec18195611b4fa1e0199c57c1049d9c366e746683385288");
}

#[test]
fn s05_form_tokens_have_the_known_bytes() {
    let (key, visitor, session) = (key(7), visitor(), session());
    let sign_in = form_token::token(&key, FormPurpose::SignIn, &visitor, None, SITE, b"");
    assert_eq!(sign_in, "fBfJfPmfb6BZIFV0Kelq2Qi9GWUs8l3iLellzRKYaZw");
    let ended = session.as_str().as_bytes();
    let end = form_token::token(&key, FormPurpose::EndSession, &visitor, Some(&session), SITE, ended);
    assert_eq!(end, "PI9eHCgw7TWYdfKPgdJfbQeUiqBZJCGEY_8Vgz_tqmM");
}

#[test]
fn s05_a_form_token_is_for_one_purpose_visitor_session_site_and_decision() {
    let (key, visitor, session) = (key(7), visitor(), session());
    let other = SessionId::from_ulid(Ulid::nil());
    let token = form_token::token(&key, FormPurpose::Password, &visitor, Some(&session), SITE, b"x");
    let good = |key, purpose, visitor: &VisitorId, session: Option<&SessionId>, site, decided: &[u8]| {
        form_token::matches(key, purpose, visitor, session, site, decided, &token)
    };
    assert!(good(&key, FormPurpose::Password, &visitor, Some(&session), SITE, b"x"));
    for purpose in FormPurpose::ALL.iter().filter(|purpose| **purpose != FormPurpose::Password) {
        assert!(!good(&key, *purpose, &visitor, Some(&session), SITE, b"x"), "{purpose:?}");
    }
    assert!(!good(&key, FormPurpose::Password, &VisitorId([0; 16]), Some(&session), SITE, b"x"));
    assert!(!good(&key, FormPurpose::Password, &visitor, Some(&other), SITE, b"x"));
    assert!(!good(&key, FormPurpose::Password, &visitor, None, SITE, b"x"));
    assert!(!good(&key, FormPurpose::Password, &visitor, Some(&session), "http://shop.example", b"x"));
    assert!(!good(&key, FormPurpose::Password, &visitor, Some(&session), SITE, b"y"));
    assert!(!good(&self::key(8), FormPurpose::Password, &visitor, Some(&session), SITE, b"x"));
    for bad in ["", "x", &token[1..], &format!("{token}=")] {
        assert!(!form_token::matches(&key, FormPurpose::Password, &visitor, Some(&session), SITE, b"x", bad), "{bad}");
    }
}

#[test]
fn purposes_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> = FormPurpose::ALL.iter().map(|purpose| purpose.as_str()).collect();
    assert_eq!(names.len(), FormPurpose::ALL.len());
}

/// Each kind of text, and whether a text is accepted as it.
type Kind = (&'static str, String, fn(&SealingKeys, &str) -> bool);

fn kinds() -> Vec<Kind> {
    vec![
        ("session", SESSION.to_owned(), |key, text| session_cookie::parse(key, text).is_some()),
        ("visitor", VISITOR.to_owned(), |key, text| visitor_cookie::parse(key, text).is_some()),
        ("flow", FLOW.to_owned(), |key, text| flow_seal::open(key, text).is_some()),
        ("form", FORM.to_owned(), |key, text| form_id::parse(key, text).is_some()),
    ]
}

#[test]
fn no_kind_passes_for_another_even_under_its_prefix() {
    for (name, text, _) in kinds() {
        let body = text.trim_start_matches("chb_").trim_start_matches("chv_");
        for (other, _, accepts) in kinds() {
            for spelling in [text.clone(), body.to_owned(), format!("chb_{body}"), format!("chv_{body}")] {
                let same = name == other && spelling == text;
                assert_eq!(accepts(&key(7), &spelling), same, "{name} as {other}: {spelling}");
            }
        }
    }
}

#[test]
fn another_sealing_key_opens_nothing() {
    for (name, text, accepts) in kinds() {
        assert!(!accepts(&key(8), &text), "{name}");
    }
}

#[test]
fn each_kind_opens_under_the_version_that_it_names() {
    let of = |version| SealingKey::new(&Zeroizing::new([7 * version; 32])).with_version(version);
    let keys = SealingKeys::new(vec![of(1), of(2)], 2).unwrap();
    for (name, text, accepts) in kinds() {
        assert!(accepts(&keys, &text), "{name}");
    }
    let flow = flow_seal::seal(&keys, b"state", &OsEntropy).unwrap();
    let form_text = form_id::mint(&keys, &form(), &OsEntropy);
    let cookie = session_cookie::mint(&keys, &session(), &secret(), true);
    assert!(flow_seal::open(&keys, &flow).is_some() && flow_seal::open(&key(7), &flow).is_none());
    assert!(form_id::parse(&keys, &form_text).is_some() && form_id::parse(&key(7), &form_text).is_none());
    assert!(session_cookie::parse(&keys, cookie.expose()).is_some());
    assert!(session_cookie::parse(&key(7), cookie.expose()).is_none());
    // A form token names no version, and what a form was submitted with is compared with what was kept before the switch.
    let token = |keys: &SealingKeys| form_token::token(keys, FormPurpose::SignIn, &visitor(), None, SITE, b"");
    let matches = |text: &str| form_token::matches(&keys, FormPurpose::SignIn, &visitor(), None, SITE, b"", text);
    assert!(matches(&token(&key(7))) && matches(&token(&keys)) && token(&key(7)) != token(&keys));
    assert_eq!(form_id::proof(&keys, &form(), &[b"ada"]), form_id::proof(&key(7), &form(), &[b"ada"]));
    keys.follow_numbers(2, &[1]).unwrap();
    for (name, text, accepts) in kinds() {
        assert!(!accepts(&keys, &text), "{name}");
    }
    assert!(!form_token::matches(&keys, FormPurpose::SignIn, &visitor(), None, SITE, b"", &token(&key(7))));
}

#[test]
fn every_byte_counts_and_only_canonical_base64url_is_read() {
    for (name, text, accepts) in kinds() {
        for at in 0..text.len() {
            for with in ["A", "_", "9", "=", " ", "+"] {
                let mut changed = text.clone();
                changed.replace_range(at..=at, with);
                assert!(changed == text || !accepts(&key(7), &changed), "{name}: {changed}");
            }
            assert!(!accepts(&key(7), &text[..at]), "{name}: cut at {at}");
        }
        for changed in [
            format!("{text}="),
            format!("{text}A"),
            format!(" {text}"),
            format!("{text}\n"),
            format!("\"{text}\""),
            with_checksum(&text),
            text.replace('_', "/").replace('-', "+"),
            text.to_uppercase(),
        ] {
            assert!(changed == text || !accepts(&key(7), &changed), "{name}: {changed}");
        }
    }
}

#[test]
fn an_r_is_never_longer_than_what_a_url_has_room_for() {
    let whole = flow_seal::seal(&key(7), &vec![b'x'; flow_seal::MAX_PLAIN], &OsEntropy).unwrap();
    assert!(whole.len() <= flow_seal::MAX_TEXT);
    assert_eq!(flow_seal::open(&key(7), &whole).unwrap().len(), flow_seal::MAX_PLAIN);
    assert!(flow_seal::seal(&key(7), &vec![b'x'; flow_seal::MAX_PLAIN + 1], &OsEntropy).is_none());
    assert!(flow_seal::open(&key(7), &"A".repeat(1 << 20)).is_none());
}

#[test]
fn the_r_of_a_flow_opens_at_its_site_and_fits_whatever_the_flow_is() {
    let (client, site): (ClientId, Site) = ("c".repeat(64).parse().unwrap(), format!("{SITE}/auth").parse().unwrap());
    let path = format!("/{}", "\"".repeat(ReturnPath::MAX - 1));
    let required = Required {
        acr: Some("x".repeat(48)),
        max_age: Some(Ttl::from_secs(i64::from(i32::MAX))),
        prompt: Some(Prompt::Login),
    };
    let now = Timestamp::from_millis(1_893_456_000_000);
    let language = "x".repeat(3) + &"-abcdefgh".repeat(3) + "-abcd";
    let flow = FlowState::new(&site, &client, Some(&path), now).requiring(required).in_language(language.parse().ok());
    assert!(flow.language().is_some());
    let r = flow_seal::seal_state(&key(7), &flow, &OsEntropy);
    assert!(
        r.len() <= flow_seal::MAX_TEXT && flow.required().acr.is_some() && flow.return_path().is_some(),
        "{}",
        r.len()
    );
    assert_eq!(flow_seal::open_state(&key(7), &r, &site), Some(flow.clone().in_language(None)));
    let shorter = format!("/{}", "\"".repeat(ReturnPath::MAX - 100));
    let shorter = FlowState::new(&site, &client, Some(&shorter), now).in_language(language.parse().ok());
    let r_of_shorter = flow_seal::seal_state(&key(7), &shorter, &OsEntropy);
    assert_eq!(flow_seal::open_state(&key(7), &r_of_shorter, &site), Some(shorter));
    assert_eq!(flow_seal::open_state(&key(7), &r, &"https://other.example/auth".parse().unwrap()), None);
    assert_eq!(flow_seal::open_state(&key(8), &r, &site), None);
    let page = OwnPage::Verify { token: "x".repeat(90) };
    let flow = FlowState::new(&site, &client, Some(&path), now).leading_to(page).in_language(language.parse().ok());
    let r = flow_seal::seal_state(&key(7), &flow, &OsEntropy);
    assert!(r.len() <= flow_seal::MAX_TEXT);
    assert_eq!(flow_seal::open_state(&key(7), &r, &site), Some(flow.in_language(None).without_return_path()));
}

#[test]
fn two_seals_of_one_text_have_nothing_in_common() {
    let entropy = SeededEntropy::new(5);
    let sealed = |_: u8| flow_seal::seal(&key(7), b"the same", &entropy).unwrap();
    let (one, two) = (sealed(0), sealed(1));
    assert_ne!(one[3..24], two[3..24], "the salt");
    assert_ne!(one[24..], two[24..], "the rest");
    assert_ne!(form_id::mint(&key(7), &form(), &entropy), form_id::mint(&key(7), &form(), &entropy));
}

proptest! {
    #[test]
    fn noise_is_nothing(noise in "\\PC{0,200}", plausible in "(chb_|chv_)?[A-Za-z0-9_-]{48,112}") {
        for (name, _, accepts) in kinds() {
            prop_assert!(!accepts(&key(7), &noise), "{}: {}", name, noise);
            prop_assert!(!accepts(&key(7), &plausible), "{}: {}", name, plausible);
        }
    }

    #[test]
    fn what_is_made_reads_back(bytes in any::<[u8; 32]>(), day in any::<u32>(), ulid in any::<u128>(), seed in any::<u64>()) {
        let (key, session) = (key(bytes[0]), SessionId::from_ulid(Ulid::from(ulid)));
        let secret = SessionSecret(Zeroizing::new(bytes));
        let cookie = session_cookie::mint(&key, &session, &secret, bytes[1] > 127);
        let ReadCookie { session: read, secret: again, kept } = session_cookie::parse(&key, cookie.expose()).unwrap();
        prop_assert!(kept == (bytes[1] > 127) && read == session && again.hash().matches(&secret.hash()) && cookie.expose().len() == 114);
        let visitor = VisitorId::new(&SeededEntropy::new(seed));
        let cookie = visitor_cookie::mint(&key, &visitor, day);
        prop_assert_eq!(visitor_cookie::parse(&key, cookie.expose()), Some((visitor, day)));
        prop_assert_eq!(cookie.expose().len(), 76);
    }

    #[test]
    fn what_is_sealed_opens(plain in proptest::collection::vec(any::<u8>(), 0..300), seed in any::<u64>(), time in any::<i64>()) {
        let entropy = SeededEntropy::new(seed);
        let text = flow_seal::seal(&key(7), &plain, &entropy).unwrap();
        let opened = flow_seal::open(&key(7), &text).unwrap();
        prop_assert_eq!(opened.as_slice(), &plain[..]);
        let form = FormId::new(SITE, VisitorId::new(&entropy), Timestamp::from_millis(time), &entropy);
        prop_assert_eq!(form_id::parse(&key(7), &form_id::mint(&key(7), &form, &entropy)), Some(form));
    }
}
