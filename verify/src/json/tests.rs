use serde_json::json;

use super::*;

/// Whether this build hands numbers over in disguise.
fn in_disguise() -> bool {
    let kept = serde_json::from_str::<Value>("1.50").unwrap().to_string();
    kept == "1.50"
}

#[test]
fn numbers_are_the_same_whatever_the_features_of_serde_json() {
    let text = r#"{"a":[0,-1,18446744073709551615,-9223372036854775808,1.50,1e3,-0,18446744073709551616],"b":{"c":7}}"#;
    let parsed = Value::Object(parse_object(text).unwrap());
    let expected = json!({
        "a": [0, -1, u64::MAX, i64::MIN, 1.5, 1000.0, -0.0, 18_446_744_073_709_551_616.0_f64], "b": { "c": 7 },
    });
    assert_eq!(parsed, expected, "in disguise: {}", in_disguise());
    let whole = members(text.as_bytes()).unwrap();
    assert_eq!((whole.get("a"), whole.get("b")), (Some(&expected["a"]), Some(&expected["b"])));
    assert_eq!(parsed["a"][4].to_string(), "1.5");
    assert!(parsed["a"][5].as_i64().is_none(), "1e3 is no integer");
    for text in ["[1e400]", "7", "-1", "1.5", "\"x\"", "null"] {
        assert!(parse_object(text).is_err() && members(text.as_bytes()).is_err(), "{text}");
        assert!(parse_object(&format!("{{\"a\":{text}}}")).is_ok() != text.contains("1e400"), "{text}");
    }
}

#[test]
fn an_object_that_looks_like_a_number_in_disguise_stays_an_object() {
    for value in ["\"1\"", "\"\\u0031\"", "7", "null", "[1]", "{\"a\":1}", "true", "1.5"] {
        let text = format!(r#"{{"a":{{"{NUMBER_NAME}":{value}}}}}"#);
        let parsed = parse_object(&text).unwrap();
        assert!(parsed["a"].get(NUMBER_NAME).is_some(), "{text}: {parsed:?}");
        let inner = format!(r#"{{"{NUMBER_NAME}":{value}}}"#);
        assert!(members(inner.as_bytes()).unwrap().get(NUMBER_NAME).is_some(), "{inner}");
    }
    assert!(parse_object(&format!(r#"{{"{NUMBER_NAME}":"1","{NUMBER_NAME}":"2"}}"#)).is_err(), "twice the same name");
}

#[test]
fn the_text_of_a_number_gives_what_serde_json_gives_without_the_feature() {
    for (text, value) in [
        ("0", json!(0)),
        ("-0", json!(-0.0)),
        ("-7", json!(-7)),
        ("18446744073709551615", json!(u64::MAX)),
        ("18446744073709551616", json!(18_446_744_073_709_551_616.0_f64)),
        ("1.0", json!(1.0)),
        ("1E2", json!(100.0)),
    ] {
        assert_eq!(number(text), Some(value), "{text}");
    }
    assert_eq!((number("1e400"), number("x"), number("")), (None, None, None));
}

#[test]
fn depth_is_bounded_whatever_the_features_of_serde_json() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse_object(&nested(MAX_DEPTH - 1)).is_ok());
    assert!(parse_object(&nested(MAX_DEPTH)).is_err());
    assert!(members(nested(100_000).as_bytes()).is_err());
}
