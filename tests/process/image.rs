//! `scripts/image`: what is in an image, and that two are the same.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

/// Images are made on one kind of machine only.
fn is_possible() -> bool {
    cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))
        && Path::new("/etc/ssl/certs/ca-certificates.crt").exists()
}

fn image(arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/image");
    // Any small program will do for what is around it.
    let out = Command::new(script).args(["--binary", "/bin/true"]).args(arguments).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn json(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(dir.join(name)).unwrap()).unwrap()
}

fn blob(dir: &Path, descriptor: &Value) -> Value {
    let name = format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"));
    assert_eq!(fs::metadata(dir.join(&name)).unwrap().len(), descriptor["size"].as_u64().unwrap());
    json(dir, &name)
}

#[test]
fn two_images_of_one_binary_are_the_same_file_and_run_as_nobody_else() {
    if !is_possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["one.tar", "two.tar"].map(|name| dir.path().join(name));
    let said = image(&["--out", one.to_str().unwrap()]);
    image(&["--out", two.to_str().unwrap()]);
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap());
    let unpacked = Command::new("tar").arg("-xf").arg(&one).arg("-C").arg(dir.path()).status().unwrap();
    assert!(unpacked.success());
    let dir = dir.path();
    let index = json(dir, "index.json");
    assert!(said.contains(index["manifests"][0]["digest"].as_str().unwrap()), "{said}");
    let manifest = blob(dir, &index["manifests"][0]);
    let config = blob(dir, &manifest["config"]);
    assert_eq!((&config["architecture"], &config["os"]), (&"amd64".into(), &"linux".into()));
    assert_eq!(config["config"]["User"], "65532:65532");
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().replace(':', "/");
    let listed = Command::new("tar").arg("-tzvf").arg(dir.join("blobs").join(layer)).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let entry = |name: &str| listed.lines().find(|l| l.ends_with(name)).unwrap_or_else(|| panic!("{name}: {listed}"));
    assert!(entry(" ./usr/local/bin/chancery").starts_with("-rwxr-xr-x 0/0 "));
    assert!(entry(" ./data/").starts_with("drwx------ 65532/65532 "));
    assert!(entry(" ./tmp/").starts_with("drwxrwxrwt 0/0 "));
    for name in ["/etc/passwd", "/etc/ssl/certs/ca-certificates.crt", "libc.so.6", "ld-linux-x86-64.so.2"] {
        assert!(entry(name).contains(" 0/0 "));
    }
    assert!(!listed.contains("/bin/sh"), "{listed}");
}

#[test]
fn what_is_no_program_for_this_machine_is_refused() {
    if !is_possible() {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/image");
    for (binary, says) in [(script, "is not for x86-64 Linux"), ("/nowhere", "is no program")] {
        let out = Command::new(script).args(["--binary", binary, "--out", "/nowhere/x"]).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(1) && said.contains(says), "{said}");
    }
}
