use super::*;
use crate::entropy::SeededEntropy;

const TINY: Params = Params { memory_kib: 64, iterations: 2, lanes: 1 };
const PASSWORD: &str = "correct horse battery staple";
/// The cost of a wrong password for an account that does not exist, in hashes.
const OF_NOBODY: u64 = 1;

const BCRYPT: &str = "$2b$04$juLUO/IEsL0cvx0rEOqgeeAiY14meE5MPGSC/cyAsGD.P.55g6.kK";
const FOREIGN: [&str; 6] = [
    BCRYPT,
    "$scrypt$ln=10,r=8,p=2$c2l4dGVlbiBieXRlIHNhbA$gmMax06yxSXV4Wvv/vVmLvv7tcXrnMQNsoPRM32Imbg",
    "$pbkdf2-sha256$i=1000$c2l4dGVlbiBieXRlIHNhbA$YLxwtZTyajzXVfC/M84LAbZcd133GcmpwHnZkrWBmAo",
    "$pbkdf2$i=1000$c2l4dGVlbiBieXRlIHNhbA$+vQy0OKq6Ci25kSEKCZjhfZz+68",
    // With the current parameters, but another variant.
    "$argon2i$v=19$m=64,t=2,p=1$c2l4dGVlbiBieXRlIHNhbA$El7qb5m4dGfXF8ShfmydKxanD67ruEpaQsCZQLhrIn8",
    "$argon2id$v=19$m=32,t=1,p=1$c2l4dGVlbiBieXRlIHNhbA$",
];
/// "café" with a combining accent, as typed, and composed, as all hashes made here use it.
const TYPED: &str = "cafe\u{301} au lait, s'il vous";
const COMPOSED: &str = "caf\u{e9} au lait, s'il vous";
const BCRYPT_OF_TYPED: &str = "$2b$04$abcdefghijklmnopqrstuu0h1usnKbFYEILAi8iBP.nhqNS8Jl8Di";
const BCRYPT_OF_COMPOSED: &str = "$2b$04$abcdefghijklmnopqrstuukqqhKPI3DMJpPeHDOchBCGg.OAUypaC";
const ARGON2_OF_TYPED: &str =
    "$argon2id$v=19$m=64,t=1,p=1$c2l4dGVlbiBieXRlIHNhbA$HrYURzoFkQeOsVoMTad6pO/SQzl8SlUNecKk9oRniVU";

/// Checks a password. Also returns how many hashes were computed, with these parameters and with others.
fn check_by(params: Params, password: &str, stored: Option<&str>) -> (PasswordVerdict, (u64, u64)) {
    let stored = stored.map(|text| Stored::parse(text).expect(text));
    let mut arena = Arena::granted(memory_for(params, stored.as_ref()));
    let password = Password::new(password.to_owned());
    let verdict = arena.verify(params, &password, stored.as_ref(), &SeededEntropy::new(1)).unwrap();
    (verdict, (arena.made.current, arena.made.other))
}

fn check(password: &str, stored: Option<&str>) -> (PasswordVerdict, (u64, u64)) {
    check_by(TINY, password, stored)
}

fn rehash(verdict: PasswordVerdict) -> Phc {
    match verdict {
        PasswordVerdict::Right { rehash: Some(phc) } => phc,
        other => panic!("{other:?}"),
    }
}

/// The foreign hashes. The last one is made here, with weaker parameters than the current ones.
fn foreign() -> Vec<String> {
    let weak = Params { memory_kib: 32, iterations: 1, lanes: 1 };
    let password = Password::new(PASSWORD.to_owned());
    let made = Arena::granted(32).create(weak, &password, &SeededEntropy::new(2)).unwrap();
    let all = FOREIGN.iter().filter(|text| !text.ends_with('$')).map(|text| (*text).to_owned());
    all.chain([made.as_str().to_owned()]).collect()
}

#[test]
fn p10_every_check_costs_one_current_hash_even_if_the_account_does_not_exist() {
    let (verdict, made) = check("wrong", None);
    assert!(matches!(verdict, PasswordVerdict::Wrong));
    assert_eq!(made, (OF_NOBODY, 0));
    let own = Arena::granted(64).create(TINY, &Password::new(PASSWORD.to_owned()), &SeededEntropy::new(1)).unwrap();
    for password in ["wrong", PASSWORD] {
        assert_eq!(check(password, Some(own.as_str())).1, (OF_NOBODY, 0), "{password}");
        for stored in foreign() {
            let (verdict, made) = check(password, Some(&stored));
            assert_eq!(matches!(verdict, PasswordVerdict::Right { rehash: Some(_) }), password == PASSWORD, "{stored}");
            assert_eq!(made, (OF_NOBODY, 1), "{password} {stored}");
        }
    }
}

#[test]
fn p08_a_right_password_with_a_hash_of_another_system_is_rehashed() {
    for stored in foreign() {
        let phc = rehash(check(PASSWORD, Some(&stored)).0);
        assert!(phc.as_str().starts_with("$argon2id$v=19$m=64,t=2,p=1$"), "{}", phc.as_str());
        assert!(matches!(check(PASSWORD, Some(phc.as_str())).0, PasswordVerdict::Right { rehash: None }));
        assert!(matches!(check("wrong", Some(phc.as_str())).0, PasswordVerdict::Wrong));
    }
}

#[test]
fn p11_a_hash_of_another_system_matches_the_text_as_typed_or_normalised() {
    for (password, stored, made) in [
        (COMPOSED, BCRYPT_OF_COMPOSED, (1, 1)),
        (TYPED, BCRYPT_OF_COMPOSED, (1, 1)),
        // Checking the second form costs as much again.
        (TYPED, BCRYPT_OF_TYPED, (2, 2)),
        (TYPED, ARGON2_OF_TYPED, (2, 2)),
    ] {
        let (verdict, counted) = check(password, Some(stored));
        assert_eq!(counted, made, "{stored}");
        let phc = rehash(verdict);
        for same in [TYPED, COMPOSED] {
            assert!(matches!(check(same, Some(phc.as_str())).0, PasswordVerdict::Right { rehash: None }), "{same}");
        }
    }
    assert!(matches!(check(COMPOSED, Some(BCRYPT_OF_TYPED)).0, PasswordVerdict::Wrong), "it was never typed so");
    // It has the current parameters, but was made by another system.
    let today = Params { iterations: 1, ..TINY };
    let phc = rehash(check_by(today, TYPED, Some(ARGON2_OF_TYPED)).0);
    assert_ne!(phc.as_str(), ARGON2_OF_TYPED);
}

#[test]
fn p10_a_text_with_two_forms_costs_the_same_whether_or_not_the_account_exists() {
    let other = "cafe\u{301} noir";
    let own = Arena::granted(64).create(TINY, &Password::new(PASSWORD.to_owned()), &SeededEntropy::new(1)).unwrap();
    assert_eq!(check(other, None).1, (2, 0));
    assert_eq!(check(other, Some(own.as_str())).1, (2, 0));
    assert_eq!(check(other, Some(BCRYPT)).1, (2, 2));
}

#[test]
fn a42_a_password_that_is_too_long_is_wrong_at_the_same_cost() {
    let long = "x".repeat(MAX_BYTES + 1);
    let cut = long[..MAX_BYTES].to_owned();
    let own = Arena::granted(64).create(TINY, &Password::new(cut.clone()), &SeededEntropy::new(1)).unwrap();
    assert!(matches!(check(&cut, Some(own.as_str())).0, PasswordVerdict::Right { .. }));
    let (verdict, made) = check(&long, Some(own.as_str()));
    assert!(matches!(verdict, PasswordVerdict::Wrong));
    assert_eq!(made, (OF_NOBODY, 0));
    // The part that bcrypt reads is right.
    let hash = bcrypt::bcrypt(4, [7; 16], &[b'x'; 72]);
    let engine = bcrypt::BASE_64;
    let stored =
        format!("$2b$04${}{}", base64::Engine::encode(&engine, [7; 16]), base64::Engine::encode(&engine, &hash[..23]));
    assert!(matches!(check(&cut, Some(&stored)).0, PasswordVerdict::Right { .. }));
    let (verdict, made) = check(&long, Some(&stored));
    assert!(matches!(verdict, PasswordVerdict::Wrong));
    assert_eq!(made, (OF_NOBODY, 1));
}

#[test]
fn a42_an_empty_password_matches_no_other_hash() {
    for stored in foreign().iter().map(|text| Some(text.as_str())).chain([None]) {
        assert!(matches!(check("", stored).0, PasswordVerdict::Wrong), "{stored:?}");
    }
}
