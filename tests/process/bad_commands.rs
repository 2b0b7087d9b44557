//! Invalid commands exit with code 1 and a sentence that names the problem, or with code 2 for wrong usage. They
//! change nothing.

use std::path::Path;

use crate::{
    calls::PASSWORD,
    refused::Refused,
    server::{Server, command, run},
};

async fn assert_refused(dir: &Path, line: &str, stdin: &str, says: &[&str]) {
    let line = &format!("{line} --data-dir data");
    Refused { line, stdin: stdin.as_bytes(), says, ..Refused::default() }.check(dir).await;
}

async fn assert_usage_error(dir: &Path, line: &str, says: &[&str]) {
    Refused { line, says, code: 2, ..Refused::default() }.check(dir).await;
}

/// Creates a database in `data` by starting and stopping a server.
fn create_database(dir: &Path) {
    drop(Server::start(&dir.join("data"), &[]));
}

fn list(dir: &Path, what: &str) -> String {
    let out = run(command(&[what, "list", "--json", "--data-dir", "data"]).current_dir(dir), b"");
    assert!(out.status.success());
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test]
async fn a_missing_or_empty_database_is_named_with_a_hint_at_an_existing_demo() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let commands = [
        "user list",
        "user create ada --password-stdin",
        "user set-password ada --password-stdin",
        "client list",
        "client create app",
        "keys list",
        "keys rotate",
        "session list ada",
        "keys revoke x",
        "issuer set https://id.example.com",
        "settings set refresh_grace 5",
        "token verify --audience api",
    ];
    for line in commands {
        assert_refused(dir, line, PASSWORD, &["no database at data/chancery.db", "chancery serve"]).await;
    }
    let (line, hint) = ("user list", "--data-dir chancery-dev");
    Refused { line, says: &["chancery-data/chancery.db"], hides: &[hint], ..Refused::default() }.check(dir).await;
    assert!(!dir.join("data").exists() && !dir.join("chancery-data").exists());
    std::fs::create_dir(dir.join("data")).unwrap();
    std::fs::write(dir.join("data/chancery.db"), "").unwrap();
    for line in commands {
        assert_refused(dir, line, PASSWORD, &["data/chancery.db is empty", "chancery serve"]).await;
    }
    // A database with an empty schema: its sealing key cannot be missing yet.
    assert!(run(command(&["migrate", "--data-dir", "data"]).current_dir(dir), b"").status.success());
    for line in commands {
        assert_refused(dir, line, PASSWORD, &["data/chancery.db is empty", "chancery serve"]).await;
    }
    std::fs::create_dir(dir.join("chancery-dev")).unwrap();
    Refused { line, says: &["chancery-data/chancery.db", hint], ..Refused::default() }.check(dir).await;
    assert_refused(dir, line, "", &["data/chancery.db is empty", hint]).await;
}

#[tokio::test]
async fn invalid_users_and_passwords_are_refused_with_their_field() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    create_database(dir);
    let create = "user create bob --password-stdin";
    let long = "long enough but ".repeat(65);
    let noise = long.repeat(9000);
    for (password, says) in [
        ("short", &["password: ", "15 characters"][..]),
        ("short\r\n", &["password: ", "15 characters"]),
        ("", &["password: ", "15 characters"]),
        ("\n", &["password: ", "15 characters"]),
        ("passwordpassword", &["password: ", "too common"]),
        ("aaaaaaaaaaaaaaaaaaaa", &["password: ", "too common"]),
        ("a long pass \0 phrase", &["password: ", "NUL"]),
        (&long, &["password: ", "1024 bytes"]),
        (&noise, &["password: ", "1024 bytes"]),
    ] {
        assert_refused(dir, create, password, says).await;
    }
    let latin = b"a pass phrase in Latin-1: caf\xe9 au lait";
    let line = &format!("{create} --data-dir data");
    Refused { line, stdin: latin, says: &["password", "UTF-8"], ..Refused::default() }.check(dir).await;
    assert_refused(dir, "user create bob", PASSWORD, &["no terminal", "--password-stdin"]).await;
    let long_name = format!("user create {} --password-stdin", "x".repeat(65));
    let long_fact = format!("{create} --attributes '{{\"a\":\"{}\"}}'", "x".repeat(4096));
    for (line, says) in [
        ("user create \"\" --password-stdin", &["<NAME>: ", "empty"][..]),
        ("user create \"a b\" --password-stdin", &["<NAME>: ", "letters"]),
        ("user create bob@example.org --password-stdin", &["<NAME>: ", "@", "email"]),
        (&long_name, &["<NAME>: ", "too long"]),
        ("user create bob --password-stdin --email nonsense", &["--email: "]),
        ("user create bob --password-stdin --email a@b@c --subject \"a b\"", &["--email: ", "--subject: "]),
        ("user create bob --password-stdin --subject \"\"", &["--subject: ", "255 bytes"]),
        ("user create bob --password-stdin --attributes [1]", &["--attributes", "JSON object", "sequence"]),
        ("user create bob --password-stdin --attributes {", &["--attributes", "JSON object", "line 1"]),
        (&long_fact, &["--attributes: ", "4096 bytes"]),
        ("user create bob --password-stdin --attributes '{\"a\": \"\\u0000\"}'", &["--attributes: ", "NUL"]),
        ("user set-password nobody --password-stdin", &["no user nobody"]),
        ("user show nobody", &["no user nobody"]),
        ("user disable nobody", &["no user nobody"]),
        ("user enable nobody", &["no user nobody"]),
        ("session list nobody", &["no user nobody"]),
        ("session revoke nonsense", &["<ID>: ", "ses_"]),
        ("session revoke ses_01ARZ3NDEKTSV4RRFFQ69G5FAV", &["no session ses_01ARZ3NDEKTSV4RRFFQ69G5FAV"]),
    ] {
        assert_refused(dir, line, PASSWORD, says).await;
    }
    assert_eq!(list(dir, "user"), "", "a refused user was created");
    assert_usage_error(dir, "user create", &["<NAME>"]).await;
    assert_usage_error(dir, "user create a b --password-stdin", &["'b'"]).await;
    assert_usage_error(dir, "user import", &["<FILE>"]).await;
    assert_usage_error(dir, "user import x --format yaml", &["--format", "jsonl, csv"]).await;
    assert_usage_error(dir, "user create a --password secret", &["--password"]).await;
}

#[tokio::test]
async fn invalid_clients_are_refused_with_all_invalid_fields_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    create_database(dir);
    let long_id = format!("client create {}", "x".repeat(65));
    for (line, says) in [
        ("client create \"\"", &["<ID>: ", "1 to 64"][..]),
        ("client create \"a b\"", &["<ID>: ", "\"a b\"", "1 to 64"]),
        ("client create a:b", &["<ID>: ", "\"a:b\""]),
        (&long_id, &["<ID>: ", "1 to 64"]),
        ("client create usr_01ARZ3NDEKTSV4RRFFQ69G5FAV", &["<ID>: ", "generated"]),
        ("client create x --alg HS256", &["--alg: ", "HS256", "RS256, ES256 or EdDSA"]),
        ("client create x --alg none", &["--alg: ", "none"]),
        ("client create x --token-lifetime 0", &["--token-lifetime: ", "1 to 3600"]),
        ("client create x --token-lifetime 3601", &["--token-lifetime: ", "1 to 3600"]),
        ("client create x --token-lifetime 9223372036854775", &["--token-lifetime: ", "1 to 3600"]),
        ("client create x --grant password", &["--grant: ", "password", "direct_login"]),
        ("client create x --grant direct_login", &["--grant: ", "first-party"]),
        ("client create x --public --grant client_credentials", &["--grant: ", "public"]),
        ("client create x --public", &["--grant: ", "must be given"]),
        (
            "client create x --public --first-party --permission a@b --role auditor",
            &["--permission: must be empty for a public client", "--role: must be empty for a public client"],
        ),
        ("client create x --first-party --claim sub=name", &["--claim: ", "sub"]),
        ("client create x --first-party --claim name", &["--claim: ", "NAME=PATH"]),
        ("client create x --first-party --claim name=", &["--claim: ", "NAME=PATH"]),
        ("client create x --audience \"a b\"", &["--audience: ", "a b"]),
        ("client create x --scope \"\"", &["--scope: ", "empty"]),
        ("client create x --permission \"a b\"", &["--permission: ", "PERMISSION@AUDIENCE"]),
        (
            "client create x --first-party --alg HS256 --token-lifetime 0 --grant direct_login --grant y --claim iss=z",
            &["--alg: ", "--token-lifetime: ", "--grant: ", "--claim: "],
        ),
        (
            "client create x --public --first-party --cors-origin https://app.example/ --cors-origin *",
            &["--cors-origin: ", "without a slash or path: https://app.example", "one exact origin such as"],
        ),
        (
            "client create x --first-party --cors-origin app.example",
            &["--cors-origin: ", "such as https://app.example"],
        ),
        ("client show x", &["no client x"]),
        ("client disable x", &["no client x"]),
        ("client enable x", &["no client x"]),
        ("keys revoke nonsense", &["nonsense"]),
        ("issuer set nonsense", &["<URL>: ", "https://"]),
        ("issuer set http://id.example.com", &["<URL>: ", "https://"]),
        ("settings set nonsense 5", &["<NAME>: ", "refresh_grace"]),
        ("settings set refresh_grace 61", &["<VALUE>: ", "0s to 1m"]),
        ("settings set refresh_grace soon", &["<VALUE>: ", "0s to 1m"]),
    ] {
        assert_refused(dir, line, "", says).await;
    }
    assert_refused(dir, "token verify --audience api", "nonsense", &["the token is not good: malformed"]).await;
    let clients = list(dir, "client");
    // The issuer's own is there from the start.
    assert!(
        clients.lines().all(|line| line.contains("\"chancery-account\"")),
        "a refused client was created: {clients}"
    );
    assert_usage_error(dir, "client create", &["<ID>"]).await;
    let useless = "--browser-tokens does nothing without --site";
    assert_usage_error(dir, "client create x --browser-tokens", &[useless]).await;
    assert_usage_error(dir, "client create x --token-lifetime soon", &["--token-lifetime", "soon"]).await;
    assert_usage_error(dir, "keys rotate --alg HS256", &["--alg", "RS256, ES256 or EdDSA"]).await;
    assert_usage_error(dir, "token verify", &["--audience"]).await;
}

#[tokio::test]
async fn names_in_use_are_refused_whoever_uses_them() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    create_database(dir);
    let done = |args: &[&str]| {
        let out = run(command(args).args(["--data-dir", "data"]).current_dir(dir), PASSWORD.as_bytes());
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    let email = "ada@example.org";
    done(&["user", "create", "ada", "--password-stdin", "--subject", "first", "--email", email]);
    done(&["client", "create", "orders", "--serves", "orders-api"]);
    for (line, says) in [
        ("user create ada --password-stdin", &["name ada already exists"][..]),
        ("user create ADA --password-stdin", &["ADA already exists"]),
        // A Cyrillic letter that looks like a Latin one.
        ("user create \u{430}da --password-stdin", &["exists"]),
        ("user create other --password-stdin --email Ada@Example.org", &["email Ada@Example.org already exists"]),
        ("user create other --password-stdin --subject first", &["subject first already exists"]),
        ("user create other --password-stdin --subject orders", &["subject orders already exists"]),
        ("client create orders", &["orders already exists"]),
        ("client create first", &["first already exists"]),
        ("client create other --serves orders-api", &["--serves: ", "orders-api"]),
    ] {
        assert_refused(dir, line, PASSWORD, says).await;
    }
    assert_eq!(list(dir, "user").lines().count(), 1);
    // And the issuer's own.
    assert_eq!(list(dir, "client").lines().count(), 2);
}

#[tokio::test]
async fn an_unreadable_user_file_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    create_database(dir);
    let before = list(dir, "user");
    std::fs::write(dir.join("users.csv"), "subject,passwort\n1,x\n").unwrap();
    assert_refused(dir, "user import users.csv", "", &["users.csv", "\"passwort\"", "password_hash"]).await;
    std::fs::write(dir.join("empty.csv"), "").unwrap();
    assert_refused(dir, "user import empty.csv", "", &["empty.csv", "the column subject is missing"]).await;
    assert_refused(dir, "user import none.jsonl", "", &["cannot open none.jsonl"]).await;
    assert_refused(dir, "user import users", "", &["--format jsonl or --format csv"]).await;
    std::fs::write(dir.join("users.jsonl"), "{}\n").unwrap();
    let line = "user import users.jsonl --report no/such/folder";
    assert_refused(dir, line, "", &["cannot create no/such/folder"]).await;
    assert_eq!(list(dir, "user"), before);
}
