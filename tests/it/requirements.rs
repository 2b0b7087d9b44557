//! The requirements page explains every id in a test name, and refers only to existing tests and files.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::source::uncommented;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: PathBuf, out: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push_str(&uncommented(&fs::read_to_string(path).unwrap()));
        }
    }
}

/// A letter and two digits, as in `j07`.
fn is_id(word: &str) -> bool {
    matches!(word.as_bytes(), [letter, a, b] if b"ajoprgs".contains(letter) && a.is_ascii_digit() && b.is_ascii_digit())
}

/// The ids at the beginning of function names, in upper case.
fn ids_of_tests() -> BTreeSet<String> {
    let mut code = String::new();
    for folder in ["src", "tests", "verify/src", "guard/src"] {
        sources(root().join(folder), &mut code);
    }
    let names = code.split("fn ").skip(1).map(|rest| rest.split(['(', '<']).next().unwrap());
    names.flat_map(|name| name.split('_').take_while(|w| is_id(w))).map(str::to_uppercase).collect()
}

/// Id and last cell of every table row.
fn rows() -> Vec<(String, String)> {
    let page = fs::read_to_string(root().join("docs/requirements.md")).unwrap();
    let cells = page.lines().map(|l| l.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let rows = cells.filter(|c| is_id(&c[0].to_lowercase()));
    rows.map(|c| (c[0].to_owned(), (*c.last().unwrap()).to_owned())).collect()
}

#[test]
fn the_requirements_page_matches_the_test_names() {
    let (tests, rows) = (ids_of_tests(), rows());
    let explained: BTreeSet<&String> = rows.iter().map(|(id, _)| id).collect();
    assert_eq!(explained.len(), rows.len(), "an id appears twice");
    let missing: Vec<_> = tests.iter().filter(|id| !explained.contains(id)).collect();
    assert!(missing.is_empty(), "docs/requirements.md does not explain {missing:?}");
    for (id, file) in &rows {
        let named = file.trim_matches('`');
        let exists = !named.is_empty() && root().join(named).is_file();
        assert!(tests.contains(id) || exists, "{id} has neither a test with its id nor a file: {named:?}");
    }
}
