//! Everything that the docs refer to exists: linked files, paths in backticks, and requirement ids.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page for readers, except generated ones.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root().to_owned()];
    for folder in ["docs", "migrations", "verify", "guard"] {
        folders.push(root().join(folder));
    }
    folders.push(root().join("docs/adr"));
    for folder in folders {
        let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        pages.extend(entries.filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    pages.sort();
    pages
}

/// The text outside code blocks.
fn prose(page: &Path) -> String {
    let text = fs::read_to_string(page).unwrap();
    let pieces = text.split("```").enumerate().filter(|(n, _)| n % 2 == 0);
    pieces.map(|(_, piece)| piece).collect()
}

/// The targets of links to files, without fragments.
fn links(prose: &str) -> impl Iterator<Item = &str> {
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.map(|t| t.split('#').next().unwrap()).filter(|t| !t.is_empty() && !t.contains("://"))
}

/// The paths in backticks, relative to the project root.
fn paths(prose: &str) -> impl Iterator<Item = &str> {
    const FOLDERS: [&str; 10] =
        ["src/", "tests/", "verify/", "guard/", "docs/", "scripts/", "migrations/", "examples/", "bench/", ".ci/"];
    let quoted = prose.split('`').enumerate().filter(|(n, _)| n % 2 == 1).map(|(_, text)| text);
    let words = quoted.filter_map(|text| text.split_whitespace().next());
    words.filter(|w| FOLDERS.iter().any(|f| w.starts_with(f)) && !w.contains(['*', '{', '<', '…']))
}

#[test]
fn links_and_paths_in_the_docs_exist() {
    let (mut checked, mut dead) = (0, Vec::new());
    for page in pages() {
        let (prose, name) = (prose(&page), page.strip_prefix(root()).unwrap().display().to_string());
        let linked = links(&prose).map(|link| (link, page.parent().unwrap().join(link)));
        let named = paths(&prose).map(|path| (path, root().join(path)));
        for (text, target) in linked.chain(named) {
            checked += 1;
            if !target.exists() {
                dead.push(format!("{name}: {text}"));
            }
        }
    }
    assert!(dead.is_empty(), "nothing is there:\n{}", dead.join("\n"));
    assert!(checked > 100, "{checked}: are the pages where this test looks?");
}

#[test]
fn the_index_lists_every_page() {
    let index = prose(&root().join("docs/README.md"));
    let named: Vec<PathBuf> = links(&index).map(|l| root().join("docs").join(l).canonicalize().unwrap()).collect();
    let reference = fs::read_dir(root().join("docs/reference")).unwrap().map(|e| e.unwrap().path());
    for page in pages().into_iter().chain(reference).filter(|p| p.starts_with(root().join("docs"))) {
        let page = page.canonicalize().unwrap();
        assert!(
            page.ends_with("docs/README.md") || named.contains(&page),
            "{} is not in docs/README.md",
            page.display()
        );
    }
}

/// A capital letter and two digits, as in `J07`.
fn is_id(word: &str) -> bool {
    let [letter, tens, ones] = word.as_bytes() else { return false };
    letter.is_ascii_uppercase() && tens.is_ascii_digit() && ones.is_ascii_digit()
}

#[test]
fn the_threat_model_names_requirements_that_exist() {
    let requirements = fs::read_to_string(root().join("docs/requirements.md")).unwrap();
    let model = prose(&root().join("docs/threat-model.md"));
    let ids: Vec<&str> = model.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| is_id(w)).collect();
    assert!(ids.len() > 50, "{ids:?}");
    for id in ids {
        assert!(requirements.contains(&format!("| {id} |")), "{id} is not in docs/requirements.md");
    }
}
