//! The programs that services copy to check status lists (docs/status-lists.md), against an issuer that accepts
//! connections and answers none.

use std::{fs, path::Path, process::Command};

use serde_json::json;

fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}

#[test]
fn copied_programs_answer_at_once_from_the_last_list_while_the_issuer_is_frozen_then_503_and_recover() {
    let dir = tempfile::tempdir().unwrap();
    let interop = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    // Node resolves libraries relative to the importing file.
    for file in ["status_list.mjs", "verifier.mjs"] {
        fs::copy(interop.join("node").join(file), dir.path().join(file)).unwrap();
    }
    let libraries = Path::new(&var("CHTEST_NODE_VERIFY")).parent().unwrap().join("node_modules");
    std::os::unix::fs::symlink(libraries, dir.path().join("node_modules")).unwrap();
    let python = json!([var("CHTEST_PYTHON"), interop.join("python/verifier.py")]);
    let node = json!([var("CHTEST_NODE"), dir.path().join("verifier.mjs")]);
    let out = Command::new(var("CHTEST_PYTHON"))
        .arg(interop.join("outage.py"))
        .args([format!("python={python}"), format!("node={node}")])
        // Nothing is written beside the sources.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{stdout}{stderr}");
}
