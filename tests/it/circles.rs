//! Import cycles: sibling modules in a folder may import each other in one direction only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::source::code;

/// The folders of `service`, each with the folders that it may import. `service.rs` and `start.rs` combine them.
const SERVICE: &[(&str, &[&str])] = &[
    ("runtime", &[]),
    ("access", &["runtime"]),
    ("tokens", &["runtime", "access"]),
    ("signing_keys", &["runtime", "access"]),
    ("people", &["runtime", "access", "tokens"]),
    ("browser", &["runtime", "access", "tokens", "people"]),
    ("admin", &["runtime", "access", "tokens", "signing_keys", "people"]),
];

/// A module's path from the crate's root, such as `["service", "people", "tickets"]`.
type Module = Vec<String>;

/// The paths that each module uses, from the crate root.
type Uses = BTreeMap<Module, Vec<Module>>;

fn modules() -> BTreeMap<Module, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut all, mut folders) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let below = path.strip_prefix(&root).unwrap().with_extension("");
                let module: Module = below.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
                all.insert(module, code(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    // The roots of the library and the program use everything.
    all.retain(|module, _| module.as_slice() != ["lib"] && module.as_slice() != ["main"]);
    // Unit tests in separate files may import anything.
    all.retain(|module, _| module.last().is_none_or(|last| last != "tests"));
    all
}

/// Every path that starts with `crate`, `super` or `self`, with groups expanded.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            expand(&text[at..], &mut Vec::new(), &mut out);
        }
    }
    out
}

/// Reads one path and the paths in its group, if any. Returns the length read.
fn expand(text: &str, before: &mut Vec<String>, out: &mut Vec<Vec<String>>) -> usize {
    let depth = before.len();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        if rest.starts_with('{') {
            at += 1;
            loop {
                at += text[at..].len() - text[at..].trim_start_matches([' ', '\n', ',']).len();
                if text[at..].starts_with('}') || text[at..].is_empty() {
                    at += 1;
                    break;
                }
                let read = expand(&text[at..], before, out);
                at += read.max(1);
            }
            break;
        }
        let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '*').collect();
        at += word.len();
        before.push(word);
        if text[at..].starts_with("::") {
            at += 2;
        } else {
            out.push(before.clone());
            break;
        }
    }
    before.truncate(depth);
    at
}

/// A path from the crate root.
fn absolute(module: &Module, path: &[String]) -> Vec<String> {
    let mut base = match path.first().map(String::as_str) {
        Some("crate") => Vec::new(),
        Some("super") => module[..module.len() - 1].to_vec(),
        _ => module.clone(),
    };
    for part in &path[1..] {
        if part == "super" {
            base.pop();
        } else {
            base.push(part.clone());
        }
    }
    base
}

/// The modules that each module uses. A re-exported item counts as a use of the module that defines it.
fn uses(modules: &BTreeMap<Module, String>) -> Uses {
    let mut passed_on: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for (module, text) in modules {
        for statement in text.split("pub").skip(1).filter_map(|piece| piece.split_once("use self::")) {
            if !statement.0.trim().is_empty() && !statement.0.trim().starts_with('(') {
                continue;
            }
            let mut all = Vec::new();
            expand(statement.1, &mut vec!["self".to_owned()], &mut all);
            for path in all {
                let target = absolute(module, &path);
                let name = [module.clone(), vec![path.last().unwrap().clone()]].concat();
                passed_on.insert(name, target);
            }
        }
    }
    let follow = |mut path: Vec<String>| {
        for _ in 0..4 {
            let Some(target) = (1..=path.len()).rev().find_map(|n| passed_on.get(&path[..n])) else { break };
            if *target == path {
                break;
            }
            path = target.clone();
        }
        path
    };
    let module_of =
        |path: &[String]| (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|m| modules.contains_key(m));
    let of = |(module, text): (&Module, &String)| {
        let targets = paths(text).iter().filter_map(|path| module_of(&follow(absolute(module, path)))).collect();
        (module.clone(), targets)
    };
    modules.iter().map(of).collect()
}

/// The uses among the modules directly below `folder`.
fn siblings(folder: &[String], uses: &Uses) -> BTreeMap<String, BTreeSet<String>> {
    let child = |module: &Module| module.strip_prefix(folder).and_then(|rest| rest.first()).cloned();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, targets) in uses {
        let Some(from) = child(module) else { continue };
        let others = targets.iter().filter_map(child).filter(|to| *to != from);
        graph.entry(from.clone()).or_default().extend(others);
    }
    graph
}

/// A cycle in a graph, if there is one.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit(
        at: &str,
        graph: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(seen) = way.iter().position(|step| step == at) {
            return Some([&way[seen..], &[at.to_owned()]].concat());
        }
        if done.contains(at) {
            return None;
        }
        way.push(at.to_owned());
        let found = graph.get(at).into_iter().flatten().find_map(|next| visit(next, graph, way, done));
        way.pop();
        done.insert(at.to_owned());
        found
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|start| visit(start, graph, &mut Vec::new(), &mut done))
}

#[test]
fn sibling_modules_have_no_import_cycle() {
    let uses = uses(&modules());
    let mut folders: BTreeSet<Vec<String>> = uses.keys().map(|module| module[..module.len() - 1].to_vec()).collect();
    folders.insert(Vec::new());
    let circles: Vec<String> = folders
        .iter()
        .filter_map(|folder| Some(format!("{}: {}", folder.join("/"), circle(&siblings(folder, &uses))?.join(" → "))))
        .collect();
    assert_eq!(circles, [""; 0]);
}

#[test]
fn service_folders_import_in_one_direction() {
    let graph = siblings(&["service".to_owned()], &uses(&modules()));
    for (folder, targets) in &graph {
        let Some((_, allowed)) = SERVICE.iter().find(|(name, _)| name == folder) else {
            assert_eq!(folder, "start", "a folder is not in the table");
            continue;
        };
        let wrong: Vec<_> = targets.iter().filter(|to| !allowed.contains(&to.as_str())).collect();
        assert!(wrong.is_empty(), "{folder} imports {wrong:?}");
    }
    assert!(graph["admin"].contains("people"), "{graph:?}");
}

#[test]
fn the_reader_understands_groups_parents_and_reexports() {
    let text = |t: &str| t.to_owned();
    let module = |path: &str| path.split('/').map(str::to_owned).collect::<Module>();
    let modules: BTreeMap<Module, String> = [
        (module("a"), text("pub use self::{b::X, c::{Y, Z}};\npub(super) use self::b::W;")),
        (module("a/b"), text("use super::{c::{Y}, Z};\nfn f() { crate::d::g() }")),
        (module("a/c"), text("use super::W;")),
        (module("d"), text("use crate::{a::{X}, e};")),
        (module("e"), text("")),
    ]
    .into();
    let uses = uses(&modules);
    assert_eq!(uses[&module("a/b")], [module("d"), module("a/c"), module("a/c")]);
    assert_eq!(uses[&module("a/c")], [module("a/b")]);
    assert_eq!(uses[&module("d")], [module("a/b"), module("e")]);
    assert_eq!(circle(&siblings(&module("a"), &uses)), Some(vec!["b".into(), "c".into(), "b".into()]));
    assert_eq!(circle(&siblings(&[], &uses)), Some(vec!["a".into(), "d".into(), "a".into()]));
}
