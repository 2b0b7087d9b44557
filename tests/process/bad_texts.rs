//! Arguments and input that no honest operator types, on both engines: each command ends with a sentence or does its
//! work, and the next one works.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, process::Output};

use crate::{
    calls::PASSWORD,
    place::Place,
    server::{Server, command, run},
};

/// Command lines in which `{}` stands for the text.
const LINES: [&[&str]; 41] = [
    &["user", "create", "{}", "--password-stdin"],
    &["user", "create", "new", "--password-stdin", "--subject", "{}"],
    &["user", "create", "new", "--password-stdin", "--email", "{}"],
    &["user", "create", "new", "--password-stdin", "--role", "{}"],
    &["user", "create", "new", "--password-stdin", "--attributes", "{}"],
    &["user", "show", "{}"],
    &["user", "disable", "{}"],
    &["user", "update", "ada", "--attributes", "{}"],
    &["user", "update", "ada", "--email", "{}"],
    &["user", "update", "{}", "--email", "a@example.com"],
    &["user", "delete", "{}"],
    &["user", "sessions", "{}"],
    &["user", "reset-password", "{}", "--client", "app"],
    &["user", "reset-password", "ada", "--client", "{}"],
    &["user", "import", "{}"],
    &["client", "create", "{}"],
    &["client", "create", "new", "--audience", "{}"],
    &["client", "create", "new", "--serves", "{}"],
    &["client", "create", "new", "--scope", "{}"],
    &["client", "create", "new", "--permission", "{}"],
    &["client", "create", "new", "--role", "{}"],
    &["client", "create", "new", "--first-party", "--claim", "{}"],
    &["client", "create", "new", "--first-party", "--link-template", "{}"],
    &["client", "update", "{}", "--alg", "ES256"],
    &["client", "update", "app", "--scope", "{}"],
    &["client", "delete", "{}"],
    &["client", "show", "{}"],
    &["role", "create", "{}"],
    &["role", "create", "new", "--permission", "{}"],
    &["role", "create", "new", "--description", "{}"],
    &["role", "assign", "{}", "ada"],
    &["role", "assign", "auditor", "{}"],
    &["role", "assign", "auditor", "--client", "{}"],
    &["audit", "list", "--actor", "{}"],
    &["audit", "list", "--subject", "{}"],
    &["keys", "revoke", "{}"],
    &["session", "list", "{}"],
    &["session", "revoke", "{}"],
    &["settings", "set", "refresh_grace", "{}"],
    &["settings", "set", "{}", "5"],
    &["issuer", "set", "{}"],
];

fn texts() -> Vec<Vec<u8>> {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(126), "]".repeat(126));
    let deeper = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    let texts = ["a\u{1}\u{85}\r\nb", "\u{301}", "\u{202e}a\u{2066}", "{\"a\":\"\\u0000\"}", "{\"a\":\"\\ud800\"}"];
    let long = ["x".repeat(60_000), "\u{1f980}".repeat(15_000), deep, deeper];
    let all = texts.into_iter().map(str::to_owned).chain(long).map(String::into_bytes);
    // A surrogate, encoded like a character, is not UTF-8.
    all.chain([vec![0x61, 0xed, 0xa0, 0x80]]).collect()
}

/// The command exited on its own, without a panic and without a failure that it cannot explain.
fn check(out: &Output, what: &str) {
    let says = String::from_utf8_lossy(&out.stderr);
    assert!(matches!(out.status.code(), Some(0..=2)), "{what}: {:?} {says:.300}", out.status);
    for word in ["panicked", "internal error", "temporarily unavailable"] {
        assert!(!says.contains(word), "{what}: {says:.300}");
    }
}

#[tokio::test]
async fn no_argument_makes_a_command_fail_without_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        drop(Server::on(&place, &[]));
        place.command(&["user", "create", "ada", "--password-stdin"], PASSWORD);
        place.command(&["client", "create", "app", "--first-party"], "");
        for line in LINES {
            for text in texts() {
                let arg = |arg: &&str| match *arg {
                    "{}" => OsString::from_vec(text.clone()),
                    other => OsString::from(other),
                };
                let args: Vec<OsString> = line.iter().map(arg).collect();
                let out = run(command(&[]).args(args).args(place.flags()), PASSWORD.as_bytes());
                let what = format!("{} {} with {:.40}", place.engine(), line.join(" "), String::from_utf8_lossy(&text));
                check(&out, &what);
            }
        }
        for what in ["user", "client", "role", "audit"] {
            place.command(&[what, "list", "--json"], "");
        }
    }
}

#[tokio::test]
async fn rows_that_are_too_deep_or_hold_nul_are_refused_alone() {
    let dir = tempfile::tempdir().unwrap();
    let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let row = |subject: &str, attributes: &str| {
        format!("{{\"subject\":\"{subject}\",\"name\":\"{subject}\",\"attributes\":{attributes}}}\n")
    };
    let cell =
        |subject: &str, attributes: &str| format!("{subject},{subject},\"{}\"\n", attributes.replace('"', "\"\""));
    let bad = [deep(16), deep(126), deep(5000), "{\"a\":\"\\u0000\"}".to_owned(), "{\"a\":\"\\ud800\"}".to_owned()];
    let bad = |write: &dyn Fn(&str, &str) -> String| -> String {
        (0..).zip(&bad).map(|(n, attributes)| write(&format!("bad{n}"), attributes)).collect()
    };
    for place in Place::each(&dir).await {
        drop(Server::on(&place, &[]));
        let files = [
            ("jsonl", row("first", "{}") + &bad(&row) + &row("last", &deep(15))),
            (
                "csv",
                "subject,name,attributes\n".to_owned() + &cell("one", "{}") + &bad(&cell) + &cell("two", &deep(15)),
            ),
        ];
        for (format, text) in files {
            let args = ["user", "import", "-", "--format", format, "--json"];
            let out = run(command(&args).args(place.flags()), text.as_bytes());
            let counts: serde_json::Value = serde_json::from_slice(&out.stdout)
                .unwrap_or_else(|_| panic!("{format}: {}", String::from_utf8_lossy(&out.stderr)));
            assert_eq!((&counts["created"], &counts["refused"]), (&2.into(), &5.into()), "{format} {counts}");
            let says = String::from_utf8_lossy(&out.stderr);
            assert!(says.contains("16 levels") && says.contains("NUL"), "{format}: {says}");
        }
        place.command(&["user", "list", "--json"], "");
    }
}
