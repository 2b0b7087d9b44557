//! The blocks of commands in docs/deploying.md run as they stand there. Engines and clusters are not to be had, so
//! `docker`, `kubectl` and `sudo` only note what they are asked for; `scripts/try-unit` runs the block of systemd for real.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use crate::server::{BIN, Server};

const PAGE: &str = include_str!("../../docs/deploying.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The blocks of commands below a heading.
fn blocks(heading: &str) -> Vec<&'static str> {
    let section = PAGE.split_once(&format!("\n## {heading}\n")).unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    section.split("\n```sh\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect()
}

/// A folder to run blocks in, with programs that note their arguments.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let programs = dir.path().join("programs");
        fs::create_dir(&programs).unwrap();
        symlink(BIN, programs.join("chancery")).unwrap();
        symlink(format!("{ROOT}/deploy"), dir.path().join("deploy")).unwrap();
        for name in ["docker", "kubectl", "sudo"] {
            let path = programs.join(name);
            // A pipe into it must not break.
            let text =
                format!("#!/bin/sh\necho {name} \"$@\" >>\"$CALLS\"\n[ -p /dev/stdin ] && cat >/dev/null\nexit 0\n");
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { dir }
    }

    /// Runs a block, and returns what the programs were asked for.
    fn run(&self, block: &str) -> Vec<String> {
        let calls = self.dir.path().join("calls");
        let path = format!("{}:{}", self.path("programs").display(), std::env::var("PATH").unwrap());
        let out = Command::new("bash")
            .args(["-euo", "pipefail", "-c", block])
            .current_dir(self.dir.path())
            .envs([("PATH", path.as_str()), ("CALLS", calls.to_str().unwrap())])
            .output()
            .unwrap();
        assert!(out.status.success(), "{block}\n{}", String::from_utf8_lossy(&out.stderr));
        fs::read_to_string(calls).unwrap().lines().map(str::to_owned).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

/// A server starts with the key that was made.
fn is_usable(key: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--sealing-key-file", key.to_str().unwrap()]);
    assert!(!dir.path().join("sealing.key").exists());
    drop(server);
}

#[test]
fn the_block_of_compose_makes_every_secret_that_the_file_names() {
    let bench = Bench::new();
    let [block] = blocks("Compose").try_into().unwrap();
    let calls = bench.run(block);
    is_usable(&bench.path("secrets/sealing.key"));
    let password = bench.read("secrets/database-password");
    assert!(password.len() > 24 && !password.contains(char::is_whitespace), "{password:?}");
    assert_eq!(bench.read("secrets/pgpass"), format!("database:5432:chancery:chancery:{password}\n"));
    let compose = bench.read("deploy/compose.yaml");
    assert_eq!(bench.read(".env"), "CHANCERY_ISSUER=https://id.example.com\n");
    assert!(compose.contains("${CHANCERY_ISSUER:?"));
    let files: Vec<_> = compose.lines().filter_map(|line| line.trim().strip_prefix("file: ")).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        assert_eq!(fs::metadata(bench.path(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert_eq!(
        calls,
        [
            "sudo chown 65532:65532 secrets/sealing.key secrets/pgpass",
            "docker compose up --detach",
            "docker compose exec chancery chancery user create grace",
        ]
    );
    assert!(compose.contains("user: 65532:65532\n") && compose.contains("\n  chancery:\n"));
}

#[test]
fn the_blocks_of_kubernetes_name_what_the_manifests_have() {
    let bench = Bench::new();
    fs::write(bench.path("database-url"), "postgres://chancery@database/chancery").unwrap();
    let [first, next] = blocks("Kubernetes").try_into().unwrap();
    let calls = [bench.run(first), bench.run(next)].concat();
    is_usable(&bench.path("sealing.key"));
    let folder = "deploy/kubernetes/base";
    let all: String =
        fs::read_dir(bench.path(folder)).unwrap().map(|f| fs::read_to_string(f.unwrap().path()).unwrap()).collect();
    let has = |kind: &str, name: &str| all.contains(&format!("kind: {kind}\nmetadata:\n  name: {name}\n"));
    assert!(has("Deployment", "chancery") && has("Job", "chancery-migrate") && has("Namespace", "chancery"));
    for call in &calls {
        let mut words = call.split(' ').skip_while(|word| *word != "--kustomize" && *word != "kustomize").skip(1);
        assert!(words.next().is_none_or(|named| named == folder), "{call}");
        for word in call.split([' ', '/']).filter_map(|word| word.strip_prefix("--from-file=")) {
            assert!(bench.path(word).is_file() && all.contains(&format!("key: {word}\n")), "{call}");
        }
        if let Some((_, label)) = call.split_once("--selector ") {
            let (key, value) = label.split(' ').next().unwrap().split_once('=').unwrap();
            assert!(all.contains(&format!("    {key}: {value}\n")), "{call}");
        }
    }
    assert!(calls.iter().any(|call| call.contains("create secret generic chancery ")), "{calls:?}");
    assert!(calls.iter().filter(|call| call.starts_with("kubectl ")).count() >= 9, "{calls:?}");
}

#[test]
fn the_blocks_of_systemd_install_what_is_there_and_are_run_by_the_script() {
    let [install, create] = blocks("systemd").try_into().unwrap();
    for word in install.split_whitespace().filter(|word| word.starts_with("deploy/")) {
        assert!(Path::new(ROOT).join(word).is_file(), "{word}");
    }
    assert!(create.starts_with("chancery user create grace --data-dir /var/lib/chancery"));
    let script = fs::read_to_string(Path::new(ROOT).join("scripts/try-unit")).unwrap();
    assert!(script.contains("docs/deploying.md"));
}
