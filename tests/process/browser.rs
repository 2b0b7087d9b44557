//! Chromium walks through the pages of a real server: tests/browser, in its short form.
//!
//! `scripts/browser --install` installs what this needs. What cannot be had is named in the variable
//! `CHTEST_WITHOUT_BROWSER`, and the test then says so and does nothing.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::server::BIN;

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name))).find(|program| program.exists())
}

#[test]
fn a_person_with_a_browser_registers_signs_in_and_signs_out_everywhere() {
    let without = std::env::var("CHTEST_WITHOUT_BROWSER").unwrap_or_default();
    if !without.is_empty() {
        println!("NOT RUN: without {without} the pages are not tested in a browser");
        return;
    }
    let debug = Path::new(BIN).parent().unwrap();
    let at = debug.parent().unwrap().join("browser");
    assert!(at.exists(), "{} is missing: run scripts/browser --install, or scripts/test", at.display());
    let chromium = chromium().expect("Chromium is missing: run scripts/browser --install, or scripts/test");
    let mut command = Command::new(std::env::var("CHTEST_NODE").expect("CHTEST_NODE is not set: run scripts/test"));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/main.mjs")).arg("--short");
    command.arg("--at").arg(at).arg("--chromium").arg(chromium).arg("--programs").arg(debug);
    let out = command.stdin(Stdio::null()).output().unwrap();
    let says = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(out.status.success(), "{says}");
    println!("{says}");
}
