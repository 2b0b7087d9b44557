//! Checks that the contract covers every method of the store, and that its SQL uses only what both engines support.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::source::{code, uncommented};

fn read(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    collect(&folder, &mut files);
    files.sort();
    files.into_iter().map(|p| (p.display().to_string(), fs::read_to_string(p).unwrap())).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

#[test]
fn every_method_of_a_transaction_is_used_in_a_case() {
    let cases: String = read("tests/store").into_iter().map(|(_, text)| uncommented(&text)).collect();
    let mut methods = 0;
    for (path, text) in read("src/store") {
        for line in code(&text).lines() {
            let Some(rest) = line.trim_start().strip_prefix("pub async fn ") else { continue };
            let name = rest.split('(').next().unwrap();
            methods += 1;
            assert!(cases.contains(&format!(".{name}(")), "{name} of {path} is in no case of tests/store");
        }
    }
    assert!(methods > 40, "{methods}: are the sources where this test looks?");
}

/// The string literals of a source that has no comments.
fn literals(source: &str) -> Vec<String> {
    let quoted = source.split('"').enumerate().filter(|(n, _)| n % 2 == 1);
    quoted.map(|(_, text)| text.to_owned()).collect()
}

#[test]
fn statements_contain_nothing_that_only_one_engine_supports() {
    // The statements of `engine::Sql` exist in both dialects. These words may appear in neither.
    const BANNED: [&str; 9] =
        ["?", "::", "ILIKE", "ANY(", "FOR UPDATE", "DISTINCT ON", "now()", "CURRENT_TIMESTAMP", "RANDOM()"];
    const VERBS: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "WHERE"];
    let mut statements = 0;
    for (path, text) in read("src/store") {
        for literal in literals(&code(&text)) {
            if !VERBS.iter().any(|v| literal.contains(v)) {
                continue;
            }
            statements += 1;
            for word in BANNED {
                assert!(!literal.contains(word), "{word} in {path}: {literal}");
            }
        }
    }
    assert!(statements > 40, "{statements}: are the sources where this test looks?");
}
