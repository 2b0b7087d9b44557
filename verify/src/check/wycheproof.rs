//! Runs the C2SP/wycheproof vectors for signatures and key sets. Their headers have no `typ` and their payloads
//! are not claims, so they test the steps between: parsing, key, algorithm, signature.

use serde_json::{Value, json};

use super::*;

const SIGNATURES: &str = include_str!("../../testdata/wycheproof/json_web_signature_test.json");
const KEYS: &str = include_str!("../../testdata/wycheproof/json_web_key_test.json");

struct Case {
    id: u64,
    valid: bool,
    padding: bool,
    token: String,
    /// The public key set, or the private keys where the vectors have only those.
    set: String,
}

/// All cases of a file.
fn load_cases(text: &str) -> Vec<Case> {
    let file: Value = serde_json::from_str(text).unwrap();
    let cases: Vec<Case> = file["testGroups"].as_array().unwrap().iter().flat_map(cases_of_group).collect();
    assert_eq!(file["numberOfTests"], cases.len());
    cases
}

fn cases_of_group(group: &Value) -> impl Iterator<Item = Case> {
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

/// The part of the check that does not need `typ` or claims.
fn verify(case: &Case) -> Result<(), VerifyError> {
    // A key set that is refused counts as an empty one.
    let keys = KeySet::from_json(case.set.as_bytes()).unwrap_or_default();
    let parsed = jws::parse(&case.token).map_err(VerifyError::Malformed)?;
    verify_signature(&keys, &parsed, &Algorithm::ALL)
}

fn ids<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Vec<u64> {
    cases.into_iter().map(|case| case.id).collect()
}

fn by_id<'a>(cases: &[&'a Case], id: u64) -> &'a Case {
    cases.iter().find(|case| case.id == id).unwrap()
}

#[test]
fn signature_vectors_have_the_expected_result_with_six_exceptions() {
    let cases = load_cases(SIGNATURES);
    assert_eq!(cases.len(), 401);
    let (valid, invalid): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.valid);
    assert_eq!((valid.len(), invalid.len()), (46, 355));
    let accepted = cases.iter().filter(|case| verify(case).is_ok());
    assert_eq!(ids(accepted), [18, 33, 259, 260, 261, 262, 263, 345, 349, 378]);

    // A question mark is not base64url: once in the header, once in the payload.
    let form = |case: &Case| jws::parse(&case.token).and_then(|parsed| parsed.claims().map(drop));
    let [header, payload] = [372, 373].map(|id| form(by_id(&valid, id)));
    assert_eq!((header, payload), (Err("not base64url"), Err("not base64url")));
    // The header says PS384 but the key PS256, or the key says ES521, which does not exist.
    for (id, of_header, of_key) in
        [(346, "PS384", "PS256"), (350, "PS384", "PS256"), (347, "ES512", "ES521"), (351, "ES512", "ES521")]
    {
        let case = by_id(&valid, id);
        let jwk = &serde_json::from_str::<Value>(&case.set).unwrap()["keys"][0];
        assert_eq!((jws::parse(&case.token).unwrap().alg.as_str(), &jwk["alg"]), (of_header, &json!(of_key)), "{id}");
        assert_eq!(verify(case), Err(VerifyError::Algorithm), "{id}");
    }

    // The rest use algorithms that are not allowed: HS256 8, RS384 4, RS512 4, PS256 6, PS384 4, PS512 4.
    let exceptions = [372, 373, 346, 350, 347, 351];
    let others: Vec<_> = valid.iter().filter(|c| verify(c).is_err() && !exceptions.contains(&c.id)).collect();
    assert!(others.iter().all(|case| verify(case) == Err(VerifyError::Algorithm)));
    assert_eq!(others.len(), 30);

    // Cases in which only the signature is wrong are refused because of it.
    let by_signature = || invalid.iter().copied().filter(|case| verify(case) == Err(VerifyError::Signature));
    assert_eq!(by_signature().filter(|case| case.padding).count(), 213);
    assert!(ids(by_signature().filter(|case| case.id >= 378)).into_iter().eq(379..=401));
}

#[test]
fn text_that_is_not_base64url_is_refused_whatever_the_algorithm() {
    let cases = load_cases(SIGNATURES);
    let not_base64url = cases.iter().filter(|case| (357..=377).contains(&case.id)).filter(|case| {
        let payload = jws::parse(&case.token).and_then(|parsed| parsed.claims().map(drop));
        payload == Err("not base64url")
    });
    // The vectors 367 and 370 have lost their padding and equal 357, which is valid.
    assert_eq!(ids(not_base64url), [360, 361, 362, 363, 364, 365, 366, 368, 369, 371, 372, 373, 374, 375]);
}

#[test]
fn key_set_vectors_have_the_expected_result() {
    let cases = load_cases(KEYS);
    assert_eq!((cases.len(), cases.iter().filter(|case| case.valid).count()), (26, 5));
    assert_eq!(ids(cases.iter().filter(|case| verify(case).is_ok())), [5]);
    let others = cases.iter().filter(|case| case.valid && verify(case) == Err(VerifyError::Algorithm));
    assert_eq!(ids(others), [2, 13, 14, 15]);
    // Sets with secrets, even beside public keys, are refused as a whole. In the others the only key is skipped
    // because of its use, generator, length, exponent, algorithm, point, curve or type.
    let set = |case: &Case| KeySet::from_json(case.set.as_bytes()).map(|set| set.len());
    let secret = cases.iter().filter(|case| set(case) == Err(crate::KeySetError::Secret));
    assert_eq!(ids(secret), [1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16, 17, 18, 25, 26]);
    assert_eq!(ids(cases.iter().filter(|case| set(case) == Ok(0))), [6, 7, 8, 9, 19, 20, 21, 22, 23, 24]);
}
