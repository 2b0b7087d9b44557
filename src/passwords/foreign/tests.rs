//! The hashes were made by other programs: Python's hashlib, bcrypt and argon2-cffi, and crypt(3).

use super::*;
use crate::passwords::{Phc, PhcProblem};

const PASSWORD: &[u8] = b"correct horse battery staple";
const SALT: &str = "c2l4dGVlbiBieXRlIHNhbA";
/// 32 bytes.
const HASH: &str = "gmMax06yxSXV4Wvv/vVmLvv7tcXrnMQNsoPRM32Imbg";

fn problem(text: &str) -> PhcProblem {
    Phc::parse(text).expect_err(text)
}

#[test]
fn p08_hashes_of_other_systems_are_checked() {
    for text in [
        "$2b$04$juLUO/IEsL0cvx0rEOqgeeAiY14meE5MPGSC/cyAsGD.P.55g6.kK",
        "$2a$04$4.1PaF8ZnrE22zI.lL9PJeTnSU7RZFDfjN1fVEEhEl7xbZZo6hwBS",
        "$2y$04$abcdefghijklmnopqrstuu7EJV7kdjBBQxyb0HjTh9KS7.Lah/6CG",
        "$scrypt$ln=10,r=8,p=2$c2l4dGVlbiBieXRlIHNhbA$gmMax06yxSXV4Wvv/vVmLvv7tcXrnMQNsoPRM32Imbg",
        "$pbkdf2$i=1000$c2l4dGVlbiBieXRlIHNhbA$+vQy0OKq6Ci25kSEKCZjhfZz+68",
        "$pbkdf2-sha1$i=1000$c2l4dGVlbiBieXRlIHNhbA$+vQy0OKq6Ci25kSEKCZjhfZz+68",
        "$pbkdf2-sha256$i=1000$c2l4dGVlbiBieXRlIHNhbA$YLxwtZTyajzXVfC/M84LAbZcd133GcmpwHnZkrWBmAo",
        "$pbkdf2-sha256$i=1000,l=32$c2l4dGVlbiBieXRlIHNhbA$YLxwtZTyajzXVfC/M84LAbZcd133GcmpwHnZkrWBmAo",
        "$pbkdf2-sha512$i=1000$c2l4dGVlbiBieXRlIHNhbA$Yap+zHg43MoT6Aovnx0eLwd0TXFYg0nTMon6xsLiI5UfcQFWyGnOyld7BLRRM3dgQN1DX79ugzzjp6FrKmgAag",
    ] {
        let stored = Stored::parse(text).expect(text);
        assert!(stored.matches(PASSWORD), "{text}");
        assert!(!stored.matches(b"correct horse battery stapl"), "{text}");
        assert!(!stored.matches(b""), "{text}");
        assert_eq!(Phc::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn a42_bcrypt_reads_only_72_bytes_of_a_password() {
    let all = "0123456789".repeat(8);
    let made_of_73 = "$2b$04$abcdefghijklmnopqrstuum2G75IXDN/xsgbNa/hCiPSKyIHQd70S";
    let made_of_71 = "$2b$04$abcdefghijklmnopqrstuukow.iL/GuIgNNTSpCKVqIJG617.YQsi";
    let is = |text, length| Stored::parse(text).unwrap().matches(&all.as_bytes()[..length]);
    for length in 70..=80 {
        assert_eq!(is(made_of_73, length), length >= 72, "{length}");
        assert_eq!(is(made_of_71, length), length == 71, "{length}");
    }
}

#[test]
fn a43_a_cost_that_is_too_high_is_refused_when_parsing() {
    use PhcProblem::{Argon2d, Form, Memory, Output, Salt, Unknown, Version};
    let argon2 = |params: &str| format!("$argon2id$v=19${params}${SALT}${HASH}");
    for (params, expected) in [
        ("m=4294967296,t=2,p=1", Form),
        ("m=-1,t=2,p=1", Form),
        ("m=+64,t=2,p=1", Form),
        ("m=064,t=2,p=1", Form),
        ("m=64,t=2", Form),
        ("m=64,t=2,p=1,m=64", Form),
        ("m=64,t=2,p=1,keyid=x", Form),
        ("m=64,t=2,p=1,x=1", Form),
        ("m=64,,t=2,p=1", Form),
        ("", Form),
    ] {
        assert_eq!(problem(&argon2(params)), expected, "{params}");
    }
    let salted = |salt: &str, hash: &str| format!("$argon2id$v=19$m=64,t=2,p=1${salt}${hash}");
    assert_eq!(problem(&salted("", HASH)), Salt);
    assert_eq!(problem(&salted("AAAAAAAAAA", HASH)), Salt);
    assert_eq!(problem(&salted(&"A".repeat(88), HASH)), Salt);
    assert_eq!(problem(&salted(SALT, "")), Output);
    assert_eq!(problem(&salted(SALT, &"A".repeat(20))), Output);
    assert_eq!(problem(&salted(SALT, &"A".repeat(88))), Output);
    assert_eq!(problem(&salted(SALT, &"A".repeat(1 << 20))), Form, "a hash of a megabyte");
    for junk in ["!!!!!!!!!!!!!!!!", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAB", "a b c d e f g h"] {
        assert_eq!(problem(&salted(junk, HASH)), Form, "{junk}");
        assert_eq!(problem(&salted(SALT, junk)), Form, "{junk}");
    }
    for (text, expected) in [
        (format!("$argon2d$v=19$m=64,t=2,p=1${SALT}${HASH}"), Argon2d),
        (format!("$argon2id$v=16$m=64,t=2,p=1${SALT}${HASH}"), Version),
        (format!("$argon2i$m=64,t=2,p=1${SALT}${HASH}"), Version),
        (format!("$argon2id$v=19$m=64,t=2,p=1${SALT}"), Form),
        (format!("$argon2id$v=19$m=64,t=2,p=1${SALT}${HASH}$"), Form),
        (format!("$scrypt$ln=21,r=8,p=1${SALT}${HASH}"), Memory),
        (format!("$scrypt$ln=24,r=64,p=16${SALT}${HASH}"), Memory),
        (format!("$pbkdf2-sha256$i=1000,l=20${SALT}${HASH}"), Output),
        (format!("$pbkdf2-sha256$29000${SALT}${HASH}"), Form),
        (format!("$2b$4${}", "a".repeat(53)), Form),
        (format!("$2b$+4${}", "a".repeat(53)), Form),
        (format!("$2b$04${}", "a".repeat(52)), Form),
        (format!("$2b$04${}é", "a".repeat(51)), Form),
        (format!("$2b$04${}$", "a".repeat(53)), Form),
        (format!("$2x$04${}", "a".repeat(53)), Unknown),
        (format!("$1$abcdefgh${}", "a".repeat(22)), Unknown),
        ("5f4dcc3b5aa765d61d8327deb882cf99".to_owned(), Unknown),
        (String::new(), Unknown),
        ("$".to_owned(), Unknown),
        ("\u{1f980}$2b$04$".to_owned(), Unknown),
    ] {
        assert_eq!(problem(&text), expected, "{text}");
    }
}

#[test]
fn a43_a_refused_cost_says_what_would_be_accepted() {
    const SALTED: &str = "c2l4dGVlbiBieXRlIHNhbA$gmMax06yxSXV4Wvv/vVmLvv7tcXrnMQNsoPRM32Imbg";
    const BCRYPT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (params, salted, expected) in [
        ("$argon2id$v=19$m=4294967295,t=2,p=1$", SALTED, "Argon2 memory in KiB (m) 4294967295 is above 1048576"),
        ("$argon2id$v=19$m=1048577,t=2,p=1$", SALTED, "Argon2 memory in KiB (m) 1048577 is above 1048576"),
        ("$argon2id$v=19$m=7,t=2,p=1$", SALTED, "Argon2 memory in KiB (m) 7 is below 8"),
        ("$argon2id$v=19$m=64,t=2,p=9$", SALTED, "Argon2 memory in KiB (m) 64 is below 72"),
        ("$argon2id$v=19$m=19456,t=4294967295,p=1$", SALTED, "Argon2 iterations (t) 4294967295 is above 10"),
        ("$argon2id$v=19$m=19456,t=11,p=1$", SALTED, "Argon2 iterations (t) 11 is above 10"),
        ("$argon2id$v=19$m=19456,t=0,p=1$", SALTED, "Argon2 iterations (t) 0 is below 1"),
        ("$argon2id$v=19$m=19456,t=2,p=255$", SALTED, "Argon2 lanes (p) 255 is above 16"),
        ("$argon2id$v=19$m=19456,t=2,p=0$", SALTED, "Argon2 lanes (p) 0 is below 1"),
        ("$scrypt$ln=64,r=8,p=1$", SALTED, "scrypt log2 of N (ln) 64 is above 24"),
        ("$scrypt$ln=4294967295,r=8,p=1$", SALTED, "scrypt log2 of N (ln) 4294967295 is above 24"),
        ("$scrypt$ln=1,r=4194304,p=1$", SALTED, "scrypt block size (r) 4194304 is above 64"),
        ("$scrypt$ln=10,r=8,p=17$", SALTED, "scrypt lanes (p) 17 is above 16"),
        ("$pbkdf2-sha256$i=999$", SALTED, "PBKDF2 iterations (i) 999 is below 1000"),
        ("$pbkdf2-sha256$i=2000001$", SALTED, "PBKDF2 iterations (i) 2000001 is above 2000000"),
        ("$2b$15$", BCRYPT, "bcrypt cost 15 is above 14"),
        ("$2b$16$", BCRYPT, "bcrypt cost 16 is above 14"),
        ("$2b$31$", BCRYPT, "bcrypt cost 31 is above 14"),
        ("$2b$03$", BCRYPT, "bcrypt cost 3 is below 4"),
    ] {
        let problem = problem(&format!("{params}{salted}"));
        assert!(matches!(problem, PhcProblem::Cost(_)), "{params}");
        assert_eq!(problem.to_string(), expected, "{params}");
    }
}

#[test]
fn a43_the_limits_themselves_are_accepted() {
    for params in ["m=1048576,t=10,p=16", "m=8,t=1,p=1"] {
        assert!(Phc::parse(&format!("$argon2id$v=19${params}${SALT}${HASH}")).is_ok(), "{params}");
    }
    let most = Phc::parse(&format!("$scrypt$ln=20,r=8,p=16${SALT}${HASH}")).unwrap();
    assert_eq!(most.cost().memory_kib, (1 << 20) + 17);
    assert!(Phc::parse(&format!("$2a$14${}", "a".repeat(53))).is_ok());
    assert_eq!(Phc::parse(&format!("$pbkdf2-sha512$i=2000000${SALT}${HASH}")).unwrap().cost().memory_kib, 0);
}

#[test]
fn a43_a_problem_does_not_quote_the_text() {
    let text = format!("$argon2id$v=19$m=99999999,t=2,p=1${SALT}${HASH}");
    assert_eq!(problem(&text).to_string(), "Argon2 memory in KiB (m) 99999999 is above 1048576");
    assert_eq!(format!("{:?}", Phc::from_database(text)), "Phc(…)");
}
