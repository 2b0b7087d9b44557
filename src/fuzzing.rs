//! The functions that read what others send, for `fuzz/` and for the tests beside this file. This is no API. Those of
//! the verifier are in its own crate.

mod browser;

use chancery_verify::fuzzing::Target;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    cli::fuzzing::{csv_row, jsonl_row},
    domain::filter::{self, Comparison, Term},
    entropy::SeededEntropy,
    grpc::{accepts_page_token, page_token_of},
    id::{SessionId, TicketId, UserId},
    keys::{
        ForeignKeys, KnownDevice, SealingKey, SealingKeys, mint_refresh_token, mint_ticket_token, parse_refresh_token,
        parse_ticket_token, read_foreign_keys,
    },
    passwords::Phc,
    secret::{DeviceToken, RefreshToken, SessionSecret, TicketSecret, TicketToken},
    time::Timestamp,
};

/// All targets of this crate.
pub const TARGETS: &[Target] = &[
    Target { name: "cookies", run: browser::cookies, seeds: browser::cookies_seeds },
    Target { name: "csv", run: csv_row, seeds: csv_seeds },
    Target { name: "device_token", run: device_token, seeds: device_token_seeds },
    Target { name: "filter", run: filter, seeds: filter_seeds },
    Target { name: "flow", run: browser::flow, seeds: browser::flow_seeds },
    Target { name: "foreign_keys", run: foreign_keys, seeds: foreign_keys_seeds },
    Target { name: "form", run: browser::form, seeds: browser::form_seeds },
    Target { name: "form_id", run: browser::form_id, seeds: browser::form_id_seeds },
    Target { name: "jsonl", run: jsonl_row, seeds: jsonl_seeds },
    Target { name: "page_token", run: page_token, seeds: page_token_seeds },
    Target { name: "phc", run: phc, seeds: phc_seeds },
    Target { name: "refresh_token", run: refresh_token, seeds: refresh_token_seeds },
    Target { name: "return_path", run: browser::return_path, seeds: browser::return_path_seeds },
    Target { name: "session_cookie", run: browser::session_cookie, seeds: browser::session_cookie_seeds },
    Target { name: "site", run: browser::site, seeds: browser::site_seeds },
    Target { name: "ticket_token", run: ticket_token, seeds: ticket_token_seeds },
    Target { name: "visitor_cookie", run: browser::visitor_cookie, seeds: browser::visitor_cookie_seeds },
];

/// Runs the target with this name.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    assert!(target.is_some(), "no target {name}");
    target.map(|target| (target.run)(data));
}

const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

fn key() -> SealingKeys {
    SealingKey::new(&Zeroizing::new([7; 32])).into()
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

fn owned(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A refresh token has exactly one spelling.
fn refresh_token(data: &[u8]) -> bool {
    let Some(token) = text(data) else { return false };
    let Some(parsed) = parse_refresh_token(&key(), &RefreshToken::new(token.to_owned())) else { return false };
    let again = mint_refresh_token(&key(), &parsed.session, parsed.generation, &parsed.secret);
    assert!(again.expose() == token, "one spelling");
    true
}

fn refresh_token_seeds() -> Vec<Vec<u8>> {
    let entropy = SeededEntropy::new(1);
    let (session, secret) = (SessionId::new(NOW, &entropy), SessionSecret::generate(&entropy));
    let mint = |generation| mint_refresh_token(&key(), &session, generation, &secret).expose().as_bytes().to_vec();
    [0, 1, i64::from(u32::MAX)].map(mint).into()
}

/// A ticket token has exactly one spelling.
fn ticket_token(data: &[u8]) -> bool {
    let Some(token) = text(data) else { return false };
    let Some((id, secret)) = parse_ticket_token(&TicketToken::new(token.to_owned())) else { return false };
    assert!(mint_ticket_token(&id, &secret).expose() == token, "one spelling");
    true
}

fn ticket_token_seeds() -> Vec<Vec<u8>> {
    let entropy = SeededEntropy::new(2);
    let token = mint_ticket_token(&TicketId::new(NOW, &entropy), &TicketSecret::generate(&entropy));
    vec![token.expose().as_bytes().to_vec()]
}

fn user() -> UserId {
    UserId::new(NOW, &SeededEntropy::new(3))
}

fn device_token(data: &[u8]) -> bool {
    let Some(token) = text(data) else { return false };
    let (key, token) = (key(), DeviceToken::new(token.to_owned()));
    let Some(device) = KnownDevice::parse(&key, &token, "ada", NOW) else { return false };
    let again = KnownDevice::parse(&key, &device.token(&key, (&user(), "ada"), NOW), "ada", NOW);
    assert_eq!(again, Some(device), "a renewed token is of the same device");
    true
}

fn device_token_seeds() -> Vec<Vec<u8>> {
    let device = KnownDevice::new(&SeededEntropy::new(3));
    vec![device.token(&key(), (&user(), "ada"), NOW).expose().as_bytes().to_vec()]
}

/// A hash of another system. What is accepted can be checked within the limits; nothing is hashed here.
fn phc(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let Ok(phc) = Phc::parse(text) else { return false };
    assert_eq!(phc.as_str(), text);
    // The table, and a block for each lane.
    assert!(phc.cost().memory_kib <= (1 << 20) + 1024, "{}", phc.cost());
    true
}

fn phc_seeds() -> Vec<Vec<u8>> {
    owned(&[
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b+dWRWJTmaaJObGRdescudvJCs",
        "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWQ",
        "$2b$12$juLUO/IEsL0cvx0rEOqgeeAiY14meE5MPGSC/cyAsGD.P.55g6.kK",
        "$scrypt$ln=15,r=8,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWQ",
        "$pbkdf2-sha256$i=600000,l=16$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWQ",
    ])
}

/// A filter. What is accepted means the same when it is written with quotes.
fn filter(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let Ok(terms) = filter::parse(text) else { return false };
    for term in &terms {
        let _ = term.pattern();
    }
    let again = terms.iter().map(write_term).collect::<Vec<_>>().join(" AND ");
    // Quotes and escapes may make it longer than what is allowed.
    assert!(again.len() > 1024 || filter::parse(&again).as_ref() == Ok(&terms), "{text:?} and {again:?}");
    true
}

fn write_term(term: &Term) -> String {
    let sign = match term.comparison {
        Comparison::Equal => "=",
        Comparison::AtLeast => ">=",
        Comparison::Below => "<",
    };
    let value = term.value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{} {sign} \"{value}\"", term.field)
}

fn filter_seeds() -> Vec<Vec<u8>> {
    owned(&[
        "",
        "disabled = true",
        r#"kind=SIGNED_IN AND time >= "2030-01-01T00:00:00Z" AND subject = "a \"b\" \\ AND é""#,
        r#"name = "ad*" AND time < 2030-01-01T00:00:00Z"#,
    ])
}

/// A page token has exactly one spelling.
fn page_token(data: &[u8]) -> bool {
    text(data).is_some_and(accepts_page_token)
}

fn page_token_seeds() -> Vec<Vec<u8>> {
    ["a", "usr_01JGFJJZ00000000000000000A", "jürgen"].map(|after| page_token_of(after).into_bytes()).into()
}

/// Keys of another issuer. What would be published is read as the same.
fn foreign_keys(data: &[u8]) -> bool {
    let Some(ForeignKeys { usable, left_out }) = text(data).and_then(|text| read_foreign_keys(text, None, None).ok())
    else {
        return false;
    };
    assert!(!usable.is_empty());
    assert!(left_out.iter().all(|key| key.name.len() < 1024 && key.reason.len() < 1024));
    let again = read_foreign_keys(&json!({ "keys": usable }).to_string(), None, None);
    let known = again.as_ref().is_ok_and(|again| again.usable == usable && again.left_out.is_empty());
    assert!(known, "{again:?} and {usable:?}");
    true
}

fn foreign_keys_seeds() -> Vec<Vec<u8>> {
    let key = |kid: &str| -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "use": "sig",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        })
    };
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAE0x4JguR7n5GX27F5lmbtjN0EqWB842HlbylRWOtUaA=\n\
               -----END PUBLIC KEY-----\n";
    let set = json!({ "keys": [key("a"), { "kty": "AKP", "kid": "later" }, key("b")] });
    owned(&[pem, &key("old").to_string(), &set.to_string()])
}

fn jsonl_seeds() -> Vec<Vec<u8>> {
    owned(&[
        r#"{"subject":"1"}"#,
        r#"{"subject":"42","name":"ada","emails":["ada@example.com","a@b.example"],"disabled":true,
"attributes":{"team":"x","n":[1,2.5,null]},"created_at":"2019-05-06T07:08:09Z"}"#
            .replace('\n', "")
            .as_str(),
        "\u{feff}{\"subject\":\"2\",\"email\":\"b@example.com\",\"password_hash\":\"$2b$04$x\"}\r\n\n{\"subject\":3}\n",
    ])
}

fn csv_seeds() -> Vec<Vec<u8>> {
    owned(&[
        "subject,name\n1,ada\n",
        "\u{feff}subject,emails,attributes,password_hash,disabled,created_at\r\n\
         1,a@example.com b@example.com,\"{\"\"team\"\":\"\"x\"\"}\",$2b$04$x,1,2019-05-06T07:08:09Z\r\n2,,,,,\r\n",
        "name,subject\n\"a\nb\",\"1\"\"2\"\n",
    ])
}

#[cfg(test)]
mod tests;
