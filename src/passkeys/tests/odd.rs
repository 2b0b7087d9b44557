//! Answers that no browser gives. They are refused or do not matter, and nothing panics.

use serde_json::json;

use super::{
    authenticator::{authenticator_data, changed},
    *,
};

fn show(response: &Value, stored: &Credential, purpose: Purpose) -> Result<Used, PasskeyFault> {
    let signed = Signed::parse(&response.to_string(), purpose)?;
    assert!(purpose == Purpose::SecondFactor || signed.handle().is_some());
    signed.check(&rp(), challenge(2), &USER, stored)
}

#[test]
fn a48_what_signs_in_alone_must_name_its_user_and_null_is_none() {
    let (mut device, stored) = registered(&right());
    for purpose in [Purpose::Alone, Purpose::SecondFactor] {
        let mut response = device.get(&request(&stored, purpose), &right());
        response["response"]["userHandle"] = json!(null);
        let null = show(&response, &stored, purpose);
        response["response"].as_object_mut().unwrap().remove("userHandle");
        assert_eq!(null, show(&response, &stored, purpose));
        let twice = response.to_string().replacen(
            "\"signature\"",
            "\"userHandle\":null,\"user\\u0048andle\":null,\"signature\"",
            1,
        );
        assert_eq!(Signed::parse(&twice, purpose).err(), Some(PasskeyFault::Unreadable));
        match purpose {
            Purpose::Alone => assert_eq!(null.err(), Some(PasskeyFault::Unreadable)),
            Purpose::SecondFactor => assert!(null.unwrap().verified, "the password has named the user"),
        }
    }
}

#[test]
fn a48_no_member_of_an_assertion_can_be_left_out_or_of_another_type_to_any_effect() {
    let (mut device, stored) = registered(&right());
    for purpose in [Purpose::Alone, Purpose::SecondFactor] {
        let response = device.get(&request(&stored, purpose), &right());
        assert!(show(&response, &stored, purpose).is_ok());
        let mut taken = Vec::new();
        for (what, response) in changed(&response) {
            if show(&response, &stored, purpose).is_ok() {
                taken.push(what);
            }
        }
        let handle = taken.iter().any(|what| what.contains("userHandle"));
        assert_eq!(handle, purpose == Purpose::SecondFactor, "{taken:?}");
        for needed in ["clientDataJSON", "authenticatorData", "signature"] {
            assert!(!taken.iter().any(|what| what.contains(needed)), "{taken:?}");
        }
        assert!(!taken.iter().any(|what| what.starts_with("id=") || what == "without id"), "{taken:?}");
    }
}

#[test]
fn a48_odd_data_that_are_signed_with_the_right_key_are_no_reason_to_panic() {
    let (device, stored) = registered(&right());
    for purpose in [Purpose::Alone, Purpose::SecondFactor] {
        let asked = request(&stored, purpose);
        let data = authenticator_data(&right(), 0, 9);
        let said = client_data(&asked, &right(), "webauthn.get");
        let refused = |said: &str, data: &[u8]| show(&device.signed(said, data, &right()), &stored, purpose).is_err();
        assert!(!refused(&said, &data));
        for flags in (0..=u8::MAX).filter(|flags| *flags != UP | UV && *flags != UP) {
            let odd = authenticator_data(&Says { flags, ..right() }, 0, 9);
            assert!(refused(&said, &odd), "{flags}");
            assert!(refused(&said, &[&odd[..], b"\xa1\x6bhmac-secret\x58\x30"].concat()), "{flags}");
        }
        for length in 0..data.len() {
            assert!(refused(&said, &data[..length]), "{length}");
        }
        for more in [&b"\0"[..], b"\xa0", b"\xa1\x6bhmac-secret\x58\x30", &[0x81; 5000]] {
            assert!(refused(&said, &[&data[..], more].concat()));
        }
        for (what, odd) in changed(&serde_json::from_str(&said).unwrap()) {
            if !what.contains("crossOrigin") {
                assert!(refused(&odd.to_string(), &data), "{what}");
            }
        }
        for length in 0..said.len() {
            assert!(refused(&said[..length], &data), "{length}");
        }
    }
}

#[test]
fn a48_no_member_of_a_registration_is_a_reason_to_panic_whatever_it_is() {
    let mut device = Authenticator::new(Alg::Es256);
    let response = device.create(&creation(), &right());
    let taken = |response: &Value| register(&rp(), challenge(1), &USER, &response.to_string()).is_ok();
    assert!(taken(&response));
    let mut with_more = response.clone();
    with_more["clientExtensionResults"]["prf"] =
        json!({ "enabled": true, "results": { "first": null, "second": null } });
    for (what, odd) in changed(&response).into_iter().chain(changed(&with_more)) {
        let needed = what.contains("clientDataJSON") || what.contains("attestationObject");
        assert!(!needed || !taken(&odd), "{what}");
    }
    let said = client_data(&creation(), &right(), "webauthn.create");
    for length in 0..said.len() {
        assert!(!taken(&Authenticator::created(&device.id, &said[..length], b"")), "{length}");
    }
}
