//! Publishes another issuer's keys by command.

use chancery::time::{Clock, SystemClock, Ttl};
use serde_json::{Value, json};

use crate::{
    refused::Refused,
    server::{Server, command, run},
};

/// The P-256 key of RFC 7517 §A.1.
fn p_256(kid: &str) -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    })
}

fn tomorrow() -> String {
    SystemClock.now().plus(Ttl::from_days(1)).to_string()
}

#[test]
fn keys_trust_publishes_the_usable_keys_of_a_set_and_names_the_others() {
    let dir = tempfile::tempdir().unwrap();
    drop(Server::start(&dir.path().join("data"), &[]));
    let mut encryption = p_256("enc-1");
    encryption["use"] = json!("enc");
    let set = json!({ "keys": [
        encryption, p_256("sig-1"), { "kty": "AKP", "alg": "ML-DSA-44", "kid": "later" }, { "kty": "OKP", "crv": "X25519" },
    ] });
    let trust = ["keys", "trust", "-", "--data-dir", "data", "--until", &tomorrow()];
    let out = run(command(&trust).current_dir(&dir), set.to_string().as_bytes());
    let (stdout, stderr) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
    assert!(out.status.success(), "{stderr}");
    assert!(stdout.starts_with("ES256: sig-1 is published until ") && stdout.lines().count() == 1, "{stdout}");
    assert_eq!(
        stderr.lines().collect::<Vec<_>>(),
        [
            "\"enc-1\" is left out: must be for signatures (use = sig)",
            "\"later\" is left out: a key must be an RSA, EC or Ed25519 public key",
            "key 4 is left out: a key must be an RSA, EC or Ed25519 public key",
        ]
    );
    let list = ["keys", "list", "--json", "--data-dir", "data"];
    let listed = String::from_utf8(run(command(&list).current_dir(&dir), b"").stdout).unwrap();
    let foreign = listed.lines().filter(|line| line.contains("\"foreign\"")).count();
    assert!(foreign == 1 && listed.contains("sig-1") && !listed.contains("enc-1"), "{listed}");
}

#[tokio::test]
async fn keys_trust_refuses_a_set_without_a_usable_key_a_private_key_and_an_input_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    drop(Server::start(&dir.join("data"), &[]));
    let mut encryption = p_256("enc-1");
    encryption["use"] = json!("enc");
    let none = json!({ "keys": [encryption, { "kty": "oops" }] }).to_string();
    let mut private = p_256("leaked");
    private["d"] = json!("870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE");
    let private = json!({ "keys": [p_256("sig-1"), private] }).to_string();
    let endless = " ".repeat(300 * 1024);
    let until = tomorrow();
    let named = p_256("inner").to_string();
    let cases: [(&str, &str, &[&str]); 6] = [
        ("- --kid outer", &named, &["--kid: the key itself says \"inner\""]),
        ("- --alg RS256", &named, &["--alg: "]),
        ("-", &none, &["no usable key", "\"enc-1\": must be for signatures", "key 2: a key must be"]),
        ("-", &private, &["private members"]),
        ("-", &endless, &["larger than 256 KiB"]),
        ("/dev/zero", "", &["larger than 256 KiB"]),
    ];
    for (file, stdin, says) in cases {
        let line = &format!("keys trust {file} --until {until} --data-dir data");
        let hides = &["870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"];
        Refused { line, stdin: stdin.as_bytes(), says, hides, ..Refused::default() }.check(dir).await;
    }
}
