//! Logins in every script.

use super::*;

fn canonical(text: &str) -> Result<String, LoginError> {
    Login::parse(text).map(|login| login.canonical)
}

#[test]
fn addresses_that_look_alike_are_different_addresses() {
    for (one, other) in [
        ("bob1@example.org", "bobl@example.org"),
        ("x@modern.example", "x@rnodern.example"),
        ("O0@example.org", "oo@example.org"),
        ("ada@example.org", "аdа@example.org"),
    ] {
        assert_ne!(Login::parse(one).unwrap().unique_key(), Login::parse(other).unwrap().unique_key(), "{one} {other}");
    }
    // Names that look alike are still the same, and no key of an address is one of a name.
    assert_eq!(Login::parse("bob1").unwrap().unique_key(), Login::parse("bobl").unwrap().unique_key());
    assert_ne!(Login::parse("bob").unwrap().unique_key(), Login::parse("bob@example.org").unwrap().unique_key());
    let (one, other) = (Login::parse("Ada@Example.org").unwrap(), Login::parse("ada@example.ORG").unwrap());
    assert_eq!(one.unique_key(), other.unique_key());
}

#[test]
fn an_address_is_the_same_whether_its_letters_are_composed_or_not() {
    for (composed, decomposed) in [
        ("jürgen@example.org", "ju\u{308}rgen@example.org"),
        ("JÜRGEN@example.org", "jU\u{308}rgen@example.org"),
        ("nguyễn@example.org", "nguye\u{302}\u{303}n@example.org"),
        ("한국@example.org", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}@example.org"),
        ("a@bücher.example", "a@bu\u{308}cher.example"),
    ] {
        assert_eq!(canonical(composed).unwrap(), canonical(decomposed).unwrap(), "{composed}");
        assert!(!Login::parse(decomposed).unwrap().display().contains('\u{308}'));
    }
}

#[test]
fn addresses_of_every_script_are_accepted_and_keep_their_canonical_form() {
    for address in [
        "หนึ่ง@example.org",               // Thai, with marks
        "विकास@example.org",             // Devanagari, with vowel signs
        "क्\u{200d}ष@example.org",        // a joiner after a virama
        "ක\u{dca}\u{200d}ෂ@example.org", // Sinhala
        "می\u{200c}خواهم@example.org",   // Persian
        "தமிழ்.பெயர்@example.org",
        "юлия@пример.example",
        "甲斐@黒川.example",
        "i\u{307}stanbul@example.org",
        "o'brien+tag@example.org",
    ] {
        let canonical = canonical(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        assert_eq!(Login::parse(&canonical).unwrap().canonical, canonical, "{address}");
    }
    for bad in [
        "\u{308}a@example.org",
        "a.\u{308}b@example.org",
        "a-\u{308}@example.org",
        "a\u{200d}b@example.org",
        "a\u{200c}b@example.org",
        "a\u{200b}b@example.org",
        "a\u{202e}b@example.org",
        "a\u{34f}b@example.org",
        "a\u{fe0f}@example.org",
        "\u{3164}@example.org",
        "a b@example.org",
        "a@b@example.org",
        "a.@example.org",
    ] {
        assert_eq!(canonical(bad), Err(LoginError::Address), "{bad:?}");
    }
    let long = "a\u{308}".repeat(20_000);
    assert_eq!(canonical(&format!("{long}@example.org")), Err(LoginError::TooLong));
}

#[test]
fn no_name_is_the_canonical_form_of_an_address() {
    for text in ["ada\u{ff20}example.org", "\u{ff20}", "ada\u{fe6b}example.org"] {
        assert!(Login::parse(text).is_err(), "{text:?}: {:?}", canonical(text));
    }
}

#[test]
fn a_user_name_with_an_at_sign_is_told_what_is_wrong() {
    for text in ["ada@example.org", "ada@", "@", "ada@localhost", "a b@c", "ada\u{ff20}example.org"] {
        let problem = Login::parse_name(text).unwrap_err();
        assert!(problem.contains('@') && problem.contains("as email"), "{text}: {problem}");
    }
    for text in ["ada", "a b", "ada\u{ff20}example.org"] {
        assert!(Login::parse_email(text).unwrap_err().contains("ada@example.org"), "{text}");
    }
}

#[test]
fn a_name_has_no_character_that_nobody_sees() {
    for bad in
        ["a\u{202e}b", "a\u{2066}b", "\u{200f}a", "a\u{200b}b", "a\u{ad}b", "\u{3164}", "a\u{fe0f}b", "a\u{34f}b"]
    {
        assert!(Login::parse(bad).is_err(), "{bad:?}");
    }
}
