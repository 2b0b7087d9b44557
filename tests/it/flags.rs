//! Errors of calls never name flags of the command line: a caller of the API has none.

use std::{fs, path::Path};

use crate::source::code;

/// Texts for the operator who starts a server, not for a caller.
const FOR_OPERATORS: [&str; 4] =
    ["src/service/admin/sealing.rs", "src/service/start.rs", "src/keys/sealing_keys.rs", "src/keys/sealing_text.rs"];

fn files(folder: &Path, all: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            all.push(path);
        }
    }
}

/// Whether a line of code has a text with a flag such as `--first-party`.
fn names_a_flag(line: &str) -> bool {
    line.match_indices("--").any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + 2..]);
        let starts = before.ends_with([' ', '(', '`', '"']);
        starts && after.starts_with(|c: char| c.is_ascii_lowercase())
    })
}

#[test]
fn no_error_of_a_call_names_a_flag() {
    assert!(names_a_flag(r#"add("grants", "needs it; add --first-party")"#) && !names_a_flag(r#"("xn--bcher")"#));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for folder in ["domain", "grpc", "keys", "passwords", "service", "store"] {
        files(&root.join("src").join(folder), &mut all);
    }
    let mut wrong = Vec::new();
    for path in all {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if !FOR_OPERATORS.contains(&name.as_str()) {
            let text = code(&fs::read_to_string(&path).unwrap());
            wrong.extend(text.lines().filter(|l| names_a_flag(l)).map(|l| format!("{name}: {}", l.trim())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
