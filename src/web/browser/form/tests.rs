use axum::http::HeaderValue;
use bytes::Bytes;
use futures_util::stream;
use proptest::prelude::*;

use super::*;

const URLENCODED: &str = "application/x-www-form-urlencoded";

fn fault(body: &str) -> FormError {
    Form::parse(body.as_bytes()).unwrap_err()
}

fn typed(content_types: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in content_types {
        headers.append(header::CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn fields_are_decoded_as_browsers_encode_them() {
    let form = "username=ada%40example.com&password=%2B+%26%3D%25%C3%A4&empty=&bare&_method=DELETE&x=a=b&&p=100%&z=%zz";
    let form = Form::parse(form.as_bytes()).unwrap();
    for (name, value) in [
        ("username", "ada@example.com"),
        ("password", "+ &=%\u{e4}"),
        ("empty", ""),
        ("bare", ""),
        ("x", "a=b"),
        ("p", "100%"),
        ("z", "%zz"),
        ("missing", ""),
    ] {
        assert_eq!(form.text(name), value, "{name}");
        assert_eq!(form.has(name), name != "missing", "{name}");
    }
    assert_eq!(form.password("password").expose(), "+ &=%\u{e4}");
    assert_eq!(form.code("x").expose(), "a=b");
    let printed = format!("{form:?}");
    assert!(printed.contains("\"password\"") && !printed.contains('\u{e4}'), "{printed}");
    assert!(Form::parse(b"").unwrap().0.is_empty());
}

#[test]
fn a_field_that_stands_there_twice_is_named() {
    let twice = FormError::Twice("username".to_owned());
    for body in ["username=a&username=b", "username=a&x=1&username=a", "username&username", "username=a&user%6eame=b"] {
        assert_eq!(fault(body), twice, "{body}");
    }
    assert_eq!((twice.parameter(), twice.status()), (Some("username"), StatusCode::BAD_REQUEST));
    assert!(twice.to_string().contains("username"));
    assert!(Form::parse(b"username=a&Username=b").is_ok(), "names are as they are");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let not_text = FormError::NotText("password".to_owned());
    for body in ["password=%ff", "password=%C3", "password=a%ED%A0%80"] {
        assert_eq!(fault(body), not_text, "{body}");
    }
    assert_eq!(Form::parse(b"password=\xff").unwrap_err(), not_text);
    assert_eq!(fault("%ff=1"), FormError::Name);
    assert_eq!(fault(&format!("{}=1", "x".repeat(65))), FormError::Name);
    assert!(Form::parse(format!("{}=1", "x".repeat(64)).as_bytes()).is_ok());
}

#[test]
fn a_form_has_bounds() {
    let fields = |n: usize| (0..n).map(|n| format!("f{n}=x")).collect::<Vec<_>>().join("&");
    assert!(Form::parse(fields(64).as_bytes()).is_ok());
    assert_eq!(fault(&fields(65)), FormError::TooManyFields);
    let large = |n: usize| format!("x={}", "a".repeat(n - 2));
    assert_eq!(Form::parse(large(MAX_BODY).as_bytes()).unwrap().text("x").len(), MAX_BODY - 2);
    assert_eq!(fault(&large(MAX_BODY + 1)), FormError::TooLarge);
}

#[tokio::test]
async fn a39_only_what_a_form_sends_is_read() {
    async fn read(headers: HeaderMap) -> Result<Form, FormError> {
        Form::read(&headers, Body::from("csrf=x")).await
    }
    for json in ["application/json", "Application/JSON ; Charset=UTF-8"] {
        let form = Form::read(&typed(&[json]), Body::from("{\"csrf\": \"x\"}")).await;
        assert_eq!(form.unwrap().text("csrf"), "x", "{json}");
        assert_eq!(read(typed(&[json])).await.unwrap_err(), FormError::Json);
    }
    for good in [
        URLENCODED,
        "Application/X-WWW-Form-Urlencoded; Charset=UTF-8",
        "application/x-www-form-urlencoded;charset=utf-8",
        "application/x-www-form-urlencoded; charset=\"UTF-8\"",
    ] {
        assert_eq!(read(typed(&[good])).await.unwrap().text("csrf"), "x", "{good}");
    }
    for bad in [
        &["text/plain"][..],
        &["multipart/form-data; boundary=x"],
        &["application/json; charset=utf-16"],
        &["application/jsonx"],
        &["application/problem+json"],
        &["application/json", "application/json"],
        &["application/json", URLENCODED],
        &["text/plain;application/json"],
        &["text/plain;application/x-www-form-urlencoded"],
        &["application/x-www-form-urlencoded; charset=utf-16"],
        &["application/x-www-form-urlencoded; boundary=x"],
        &["application/x-www-form-urlencoded, text/plain"],
        &["application/x-www-form-urlencodedx"],
        &[""],
        &[],
        &[URLENCODED, URLENCODED],
    ] {
        let fault = read(typed(bad)).await.unwrap_err();
        assert_eq!(fault, FormError::OtherType, "{bad:?}");
        assert_eq!(fault.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let mut compressed = typed(&[URLENCODED]);
    compressed.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert_eq!(read(compressed).await.unwrap_err(), FormError::OtherType);
}

#[tokio::test(start_paused = true)]
async fn a_body_ends_at_its_bound_or_after_half_a_minute() {
    let headers = typed(&[URLENCODED]);
    let parts = |parts: Vec<&'static [u8]>| {
        Body::from_stream(stream::iter(parts.into_iter().map(|part| Ok::<_, std::io::Error>(Bytes::from_static(part)))))
    };
    let form = Form::read(&headers, parts(vec![b"user", b"name=a&x", b"=1"])).await.unwrap();
    assert_eq!((form.text("username"), form.text("x")), ("a", "1"));
    static CHUNK: [u8; 16 * 1024] = [b'a'; 16 * 1024];
    assert_eq!(Form::read(&headers, parts(vec![&CHUNK; 5])).await.unwrap_err(), FormError::TooLarge);
    let endless = Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&CHUNK))));
    assert_eq!(Form::read(&headers, endless).await.unwrap_err(), FormError::TooLarge);
    let declared = Form::read(&headers, Body::from(vec![b'a'; MAX_BODY + 1])).await;
    assert_eq!(declared.unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
    let silent = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    assert_eq!(Form::read(&headers, silent).await.unwrap_err(), FormError::Incomplete);
    let broken = Body::from_stream(stream::iter([Ok(Bytes::from_static(b"a=")), Err(std::io::Error::other("gone"))]));
    assert_eq!(Form::read(&headers, broken).await.unwrap_err().status(), StatusCode::REQUEST_TIMEOUT);
}

/// As the URL standard encodes a text.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b' ' => "+".to_owned(),
            b if b.is_ascii_alphanumeric() || b"*-._".contains(&b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

proptest! {
    #[test]
    fn what_a_browser_encodes_reads_back(fields in proptest::collection::btree_map("\\PC{1,16}", ".{0,40}", 0..8)) {
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let form = Form::parse(body.join("&").as_bytes()).unwrap();
        for (name, value) in &fields {
            prop_assert_eq!(form.text(name), value);
        }
        prop_assert_eq!(form.0.len(), fields.len());
    }

    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200), text in "[a-c%0-9A-F=&+]{0,40}") {
        let _ = Form::parse(&body);
        if let Ok(form) = Form::parse(text.as_bytes()) {
            prop_assert!(form.0.len() <= MAX_FIELDS);
        }
    }
}

fn json_fault(body: &str) -> FormError {
    Form::parse_json(body.as_bytes()).unwrap_err()
}

#[test]
fn fields_in_json_are_strings_and_boxes() {
    let form = r#" {"username": "ada@example.com", "password": "+ &=%\u00e4", "empty": "", "on": true, "off": false} "#;
    let form = Form::parse_json(form.as_bytes()).unwrap();
    for (name, value) in
        [("username", "ada@example.com"), ("password", "+ &=%\u{e4}"), ("empty", ""), ("on", "1"), ("off", "")]
    {
        assert_eq!(form.text(name), value, "{name}");
        assert_eq!(form.has(name), name != "off", "{name}");
    }
    assert!(!format!("{form:?}").contains('\u{e4}'));
    assert!(Form::parse_json(b"{}").unwrap().0.is_empty());
}

#[test]
fn what_is_no_form_in_json_is_named() {
    for body in ["", " ", "null", "[]", "1", "\"a\"", "{", "{a:1}", "{\"a\":\"b\",}", "{}{}", "{\"a\":\"\\ud800\"}"] {
        assert_eq!(json_fault(body), FormError::Json, "{body}");
    }
    assert_eq!(Form::parse_json(b"{\"a\":\"\xff\"}").unwrap_err(), FormError::Json);
    for value in ["1", "-1", "1.5", "null", "[]", "[\"a\"]", "{}", "{\"a\":\"b\"}", "9999999999999999999999"] {
        let fault = json_fault(&format!("{{\"x\":\"\",\"field\":{value}}}"));
        assert_eq!(fault, FormError::NotFlat("field".to_owned()), "{value}");
        assert_eq!((fault.parameter(), fault.status()), (Some("field"), StatusCode::BAD_REQUEST));
    }
    for body in [r#"{"a":"1","b":"2","a":"3"}"#, r#"{"a":false,"a":"3"}"#, r#"{"a":"","\u0061":""}"#] {
        assert_eq!(json_fault(body), FormError::Twice("a".to_owned()), "{body}");
    }
    let name = "n".repeat(MAX_NAME);
    assert!(Form::parse_json(format!("{{\"{name}\":\"\"}}").as_bytes()).is_ok());
    assert_eq!(json_fault(&format!("{{\"{name}n\":\"\"}}")), FormError::Name);
    let fields = |count: usize| {
        let fields: Vec<_> = (0..count).map(|n| format!("\"f{n}\":false")).collect();
        format!("{{{}}}", fields.join(","))
    };
    assert!(Form::parse_json(fields(MAX_FIELDS).as_bytes()).is_ok());
    assert_eq!(json_fault(&fields(MAX_FIELDS + 1)), FormError::TooManyFields);
    assert_eq!(json_fault(&format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BODY))), FormError::TooLarge);
    // Deeper than any reader goes.
    assert_eq!(json_fault(&format!("{{\"a\":{}", "[".repeat(60_000))), FormError::NotFlat("a".to_owned()));
}

proptest! {
    #[test]
    fn a_form_is_the_same_in_both_ways_to_write_it(fields in proptest::collection::btree_map(".{1,8}", ".{0,20}", 0..8)) {
        let json: serde_json::Map<_, _> = fields.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let json = Form::parse_json(serde_json::Value::Object(json).to_string().as_bytes()).unwrap();
        let all = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", all(name), all(value))).collect();
        let form = Form::parse(pairs.join("&").as_bytes()).unwrap();
        for (name, value) in &fields {
            prop_assert_eq!((json.text(name), form.text(name)), (value.as_str(), value.as_str()));
        }
        prop_assert_eq!(json.names().count(), form.names().count());
    }
}
