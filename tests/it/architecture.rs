//! Checks the direction of imports in the sources.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::source::code;

/// The modules that each module may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("entropy", &[]),
    ("metrics", &[]),
    ("id", &["time", "entropy"]),
    ("secret", &["entropy"]),
    ("error", &["id", "time"]),
    ("domain", &["time", "entropy", "id", "secret", "error"]),
    ("passwords", &["time", "entropy", "id", "secret", "error", "domain"]),
    ("passkeys", &["time", "entropy", "id", "secret", "error", "domain"]),
    ("store", &["time", "entropy", "id", "secret", "error", "domain", "passwords"]),
    ("keys", &["time", "entropy", "id", "secret", "error", "domain", "store"]),
    ("mail", &["time", "entropy", "id", "secret", "error", "domain"]),
    (
        "service",
        &["time", "entropy", "id", "secret", "error", "domain", "store", "keys", "passkeys", "passwords", "mail"],
    ),
    ("grpc", &["time", "entropy", "id", "secret", "error", "metrics", "domain", "service"]),
    // The demo's page of mails shows what `mail` keeps.
    ("web", &["time", "entropy", "id", "secret", "error", "metrics", "domain", "mail", "service"]),
    ("cli", &["time", "entropy", "id", "secret", "error", "domain", "service", "app"]),
];

/// The only module that may use each library.
const HOME: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("tonic", &["grpc"]),
    ("prost", &["grpc"]),
    ("axum", &["web"]),
    ("argon2", &["passwords"]),
    ("webauthn_rp", &["passkeys"]),
    ("lettre", &["mail"]),
    ("minijinja", &["mail", "web"]),
    ("fluent_bundle", &["web"]),
    ("clap", &["cli", "app"]),
];

fn sources() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let mut all: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap().to_owned();
                let first = below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).unwrap();
                // Imports in unit tests do not count.
                let code = code(&text);
                all.entry(first).or_default().push((below, code));
            }
        }
    }
    all
}

/// The modules of this crate in a source file: `crate::x` and groups such as `crate::{x, y::z}`.
fn imports(code: &str) -> Vec<String> {
    let mut out = Vec::new();
    for piece in code.split("crate::").skip(1) {
        match piece.strip_prefix('{') {
            None => out.push(word(piece)),
            Some(group) => {
                let (mut depth, mut start) = (0, true);
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if c.is_whitespace() => {}
                        _ if start && depth == 0 => {
                            out.push(word(&group[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    out
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_go_one_way() {
    let sources = sources();
    for (module, allowed) in MAY_IMPORT {
        for (path, code) in &sources[*module] {
            for import in imports(code) {
                let known = MAY_IMPORT.iter().any(|(m, _)| *m == import) || import == "app";
                let good = !known || import == *module || allowed.contains(&import.as_str());
                assert!(good, "{} imports {import}", path.display());
            }
        }
    }
}

#[test]
fn each_library_is_used_by_one_module_only() {
    for (module, files) in sources() {
        for (library, homes) in HOME {
            for (path, code) in &files {
                let named = code.contains(&format!("{library}::")) && !homes.contains(&module.as_str());
                assert!(!named, "{} names {library}", path.display());
            }
        }
    }
}

#[test]
fn the_import_reader_understands_groups_and_paths() {
    assert_eq!(imports("use crate::{a::{b, c}, d, e::F};\ncrate::g::h()"), ["a", "d", "e", "g"]);
}
