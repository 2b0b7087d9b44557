//! What holds a secret has no derived `Debug`: one log line with `?` would print it.

use std::{fs, path::Path, sync::Arc};

use chancery::{
    entropy::SeededEntropy,
    store::{Location, Store},
};

use crate::source::code;

/// Types of libraries whose `Debug` prints what they hold, or whose holders write their own.
const OPEN: &[&str] = &["Zeroizing", "PgConnectOptions", "SecretString", "SecretBox", "Credentials"];
/// Names of fields that hold a secret if their type is plain text or bytes.
const NAMES: &[&str] =
    &["password", "secret", "token", "code", "sealing_key", "private", "credentials", "authorization", "bearer", "key"];
/// Types that print all they hold.
const PLAIN: &[&str] =
    &["String", "&str", "&'static str", "&'a str", "OsString", "Vec<u8>", "[u8; 32]", "Bytes", "&[u8]"];
/// Fields that are no secrets.
const PUBLIC: &[(&str, &str)] = &[
    ("RpcLabels", "code"),
    // A status list, which everybody may read.
    ("PublishedList", "token"),
    // The sentence that says where a key is.
    ("BackedUp", "key"),
    // The name of a key.
    ("Keys", "key"),
    // What a name is compared by.
    ("Login", "unique_key"),
    // PostgreSQL's code of an error.
    ("Reported", "code"),
    // The password of the demo, which everybody knows.
    ("DevHints", "password"),
    ("DemoSecrets", "password"),
    ("DemoSecrets", "secret"),
];

/// A type with a derived `Debug`: its name and what it holds.
fn derived(code: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for piece in code.split("#[derive(").skip(1) {
        let Some((derives, rest)) = piece.split_once(")]") else { continue };
        if !derives.split(',').any(|name| name.trim() == "Debug") {
            continue;
        }
        let Some(at) = rest.find("struct ").into_iter().chain(rest.find("enum ")).min() else { continue };
        let rest = rest[at..].split_once(' ').unwrap().1;
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').next().unwrap().to_owned();
        found.push((name, braced(rest)));
    }
    found
}

/// What is between the first bracket and the one that closes it.
fn braced(rest: &str) -> String {
    let Some(start) = rest.find(['{', '(', ';']).filter(|at| !rest[*at..].starts_with(';')) else {
        return String::new();
    };
    let mut depth = 0;
    for (at, c) in rest[start..].char_indices() {
        depth += i32::from("{(".contains(c)) - i32::from("})".contains(c));
        if depth == 0 {
            return rest[start..start + at].to_owned();
        }
    }
    rest[start..].to_owned()
}

/// Whether a type is used in a body: its name, and neither the end of a longer one nor the name of a variant.
fn holds(body: &str, kind: &str) -> bool {
    body.match_indices(kind).any(|(at, _)| {
        let after = body[at + kind.len()..].chars().next();
        let is_name = after.is_some_and(char::is_alphanumeric);
        !is_name && (after == Some('<') || body[..at].trim_end().ends_with([':', '<', '(', '&']))
    })
}

/// The fields of a type that its `Debug` must not print.
fn secrets(body: &str) -> Vec<String> {
    let mut found: Vec<String> = OPEN.iter().filter(|open| holds(body, open)).map(|open| (*open).to_owned()).collect();
    for line in body.split([',', '\n', '{', '(']) {
        let Some((name, kind)) = line.split_once(": ") else { continue };
        let name = name.trim().rsplit(' ').next().unwrap_or_default();
        let kind = kind.trim().trim_end_matches(['}', ' ']);
        let kind = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>')).unwrap_or(kind);
        let is_secret = NAMES.iter().any(|secret| name == *secret || name.ends_with(&format!("_{secret}")));
        if is_secret && PLAIN.contains(&kind) {
            found.push(name.to_owned());
        }
    }
    found
}

#[test]
fn what_holds_a_secret_has_no_derived_debug() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = ["src", "guard/src", "verify/src"].map(|folder| root.join(folder)).to_vec();
    let (mut types, mut wrong) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for (name, body) in derived(&code(&fs::read_to_string(&path).unwrap())) {
                types += 1;
                let held = secrets(&body).into_iter().filter(|field| !PUBLIC.contains(&(&name, field)));
                wrong.extend(held.map(|field| format!("{}: {name}.{field}", path.display())));
            }
        }
    }
    assert!(types > 300, "the sources were not read: {types}");
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn the_walk_finds_what_it_looks_for() {
    let code = "#[derive(Clone, Debug)]\npub struct Settings {\n    pub password: String,\n    name: String,\n}\n\
        #[derive(Debug)]\nenum E {\n    A { key: Vec<u8>, n: u8 },\n    B(Zeroizing<String>),\n}\n\
        #[derive(Clone)]\nstruct F {\n    token: String,\n}\n#[derive(Debug)]\nstruct G;\n";
    let found: Vec<_> = derived(code).into_iter().map(|(name, body)| (name, secrets(&body))).collect();
    let text = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let want = [("Settings", text(&["password"])), ("E", text(&["Zeroizing", "key"])), ("G", text(&[]))];
    assert_eq!(found, want.map(|(name, fields)| (name.to_owned(), fields)));
}

#[tokio::test]
async fn a_store_prints_without_the_password_of_its_database() {
    let Ok(url) = std::env::var("CHTEST_POSTGRES_URL") else { return };
    // The throwaway cluster trusts everybody, whatever the password.
    let (scheme, rest) = url.split_once("://").unwrap();
    let (user, host) = rest.split_once('@').unwrap();
    let user = user.split(':').next().unwrap();
    let url = format!("{scheme}://{user}:canary-of-the-database@{host}");
    let location = Location::parse(&url).unwrap();
    let store = Store::open(&location, false, Arc::new(SeededEntropy::new(1))).await.unwrap();
    let printed = format!("{location:?} {location} {store:?}");
    assert!(printed.contains("Store") && !printed.contains("canary"), "{printed}");
}
