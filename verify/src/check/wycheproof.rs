//! The vectors of C2SP/wycheproof for signatures and key sets. Their headers have no `typ` and their payloads
//! are no claims, so they run at the layer between: text, key, algorithm, signature.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use serde_json::{Value, json};

use super::*;

struct Case {
    id: u64,
    valid: bool,
    padding: bool,
    token: String,
    /// The set as published; where the vectors have secrets only, those.
    set: String,
}

/// The cases of a file, or none where the vectors are absent: they are no part of this repository.
fn cases(name: &str) -> Option<Vec<Case>> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/wycheproof"));
    let folder = std::env::var_os("CHTEST_WYCHEPROOF_DIR").map_or_else(beside, PathBuf::from);
    if !folder.is_dir() {
        let line = format!("wycheproof: NOT RUN, {name} is not at hand: no folder {}", folder.display());
        // Past the test runner, which would keep it to itself.
        writeln!(io::stderr(), "{line}").unwrap();
        return None;
    }
    let file: Value = serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap();
    let cases: Vec<Case> = file["testGroups"].as_array().unwrap().iter().flat_map(of_group).collect();
    assert_eq!(file["numberOfTests"], cases.len());
    Some(cases)
}

fn of_group(group: &Value) -> impl Iterator<Item = Case> {
    let keys = group.get("public").unwrap_or(&group["private"]);
    let set = if keys.get("keys").is_some() { keys.clone() } else { json!({ "keys": [keys] }) };
    group["tests"].as_array().unwrap().iter().map(move |test| Case {
        id: test["tcId"].as_u64().unwrap(),
        valid: test["result"] == "valid",
        padding: test["flags"] == json!(["ModifiedPadding"]),
        token: test["jws"].as_str().map_or_else(|| test["jws"].to_string(), str::to_owned),
        set: set.to_string(),
    })
}

/// What the check does between the two things that these tokens lack.
fn verify(case: &Case) -> Result<(), VerifyError> {
    // A set that is refused has no keys.
    let keys = KeySet::from_json(case.set.as_bytes()).unwrap_or_default();
    let parsed = jws::parse(&case.token).map_err(VerifyError::Malformed)?;
    signed_by(&keys, &parsed, &Algorithm::ALL)
}

fn ids<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Vec<u64> {
    cases.into_iter().map(|case| case.id).collect()
}

fn by_id<'a>(cases: &[&'a Case], id: u64) -> &'a Case {
    cases.iter().find(|case| case.id == id).unwrap()
}

#[test]
fn signatures_end_as_the_vectors_say_with_six_exceptions() {
    let Some(cases) = cases("json_web_signature_test.json") else { return };
    assert_eq!(cases.len(), 401);
    let (valid, invalid): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.valid);
    assert_eq!((valid.len(), invalid.len()), (46, 355));
    let accepted = cases.iter().filter(|case| verify(case).is_ok());
    assert_eq!(ids(accepted), [18, 33, 259, 260, 261, 262, 263, 345, 349, 378]);

    // A question mark is not base64url: in the header, in the payload.
    let form = |case: &Case| jws::parse(&case.token).and_then(|parsed| parsed.claims().map(drop));
    let [header, payload] = [372, 373].map(|id| form(by_id(&valid, id)));
    assert_eq!((header, payload), (Err("not base64url"), Err("not base64url")));
    // The header says PS384 and the key PS256; the key says ES521, which does not exist.
    for (id, of_header, of_key) in
        [(346, "PS384", "PS256"), (350, "PS384", "PS256"), (347, "ES512", "ES521"), (351, "ES512", "ES521")]
    {
        let case = by_id(&valid, id);
        let jwk = &serde_json::from_str::<Value>(&case.set).unwrap()["keys"][0];
        assert_eq!((jws::parse(&case.token).unwrap().alg.as_str(), &jwk["alg"]), (of_header, &json!(of_key)), "{id}");
        assert_eq!(verify(case), Err(VerifyError::Algorithm), "{id}");
    }

    // The rest are of algorithms that are not allowed: HS256 8, RS384 4, RS512 4, PS256 6, PS384 4, PS512 4.
    let exceptions = [372, 373, 346, 350, 347, 351];
    let others: Vec<_> = valid.iter().filter(|c| verify(c).is_err() && !exceptions.contains(&c.id)).collect();
    assert!(others.iter().all(|case| verify(case) == Err(VerifyError::Algorithm)));
    assert_eq!(others.len(), 30);

    // What the signature alone gives away is refused for it.
    let by_signature = || invalid.iter().copied().filter(|case| verify(case) == Err(VerifyError::Signature));
    assert_eq!(by_signature().filter(|case| case.padding).count(), 213);
    assert!(ids(by_signature().filter(|case| case.id >= 378)).into_iter().eq(379..=401));
}

#[test]
fn texts_that_are_no_base64url_are_refused_whatever_the_algorithm() {
    let Some(cases) = cases("json_web_signature_test.json") else { return };
    let strange = cases.iter().filter(|case| (357..=377).contains(&case.id)).filter(|case| {
        let payload = jws::parse(&case.token).and_then(|parsed| parsed.claims().map(drop));
        payload == Err("not base64url")
    });
    // 367 and 370 lost their padding on the way and have the text of 357, which is valid.
    assert_eq!(ids(strange), [360, 361, 362, 363, 364, 365, 366, 368, 369, 371, 372, 373, 374, 375]);
}

#[test]
fn key_sets_end_as_the_vectors_say() {
    let Some(cases) = cases("json_web_key_test.json") else { return };
    assert_eq!((cases.len(), cases.iter().filter(|case| case.valid).count()), (26, 5));
    assert_eq!(ids(cases.iter().filter(|case| verify(case).is_ok())), [5]);
    let others = cases.iter().filter(|case| case.valid && verify(case) == Err(VerifyError::Algorithm));
    assert_eq!(ids(others), [2, 13, 14, 15]);
    // Sets with secrets, also beside public keys, are refused as a whole; of the others the one key is left out:
    // by its use, its generator, its length, its exponent, its algorithm, its point, its curve, its kind.
    let set = |case: &Case| KeySet::from_json(case.set.as_bytes()).map(|set| set.len());
    let secret = cases.iter().filter(|case| set(case) == Err(crate::KeySetError::Secret));
    assert_eq!(ids(secret), [1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16, 17, 18, 25, 26]);
    assert_eq!(ids(cases.iter().filter(|case| set(case) == Ok(0))), [6, 7, 8, 9, 19, 20, 21, 22, 23, 24]);
}
