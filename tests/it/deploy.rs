//! What `deploy/` names exists: settings, flags and subcommands, in the reference that the sources are compared with.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every file of the folder, by its path.
fn files(below: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // Made by those who follow the documentation, and in no commit.
            if path.is_dir() && path.file_name().unwrap() != "secrets" {
                folders.push(path);
            } else if path.is_file() {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// What may stand in a name of a variable or a flag.
fn name_at(text: &str, fits: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !fits(c)).unwrap_or(text.len())]
}

fn variables(text: &str) -> BTreeSet<&str> {
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.match_indices("CHANCERY_").map(|(at, _)| name_at(&text[at..], fits)).filter(|n| *n != "CHANCERY_").collect()
}

fn flags(line: &str) -> Vec<&str> {
    let starts = line.match_indices(" --").map(|(at, _)| &line[at + 1..]);
    starts.map(|rest| name_at(rest, |c| c.is_ascii_lowercase() || c == '-')).filter(|f| f.len() > 2).collect()
}

/// The commands of Chancery in a file: the words behind the program's name.
fn commands(text: &str) -> Vec<&str> {
    let program = |line: &&str| line.contains("chancery ") && !line.trim_start().starts_with('#');
    let lines = text.lines().filter(program);
    lines.filter_map(|l| l.split_once("/usr/local/bin/chancery ").map(|(_, rest)| rest)).collect()
}

#[test]
fn every_setting_named_in_deploy_exists() {
    let (settings, cli) = (read("docs/reference/config.md"), read("docs/reference/cli.md"));
    let mut named = 0;
    for (path, text) in files("deploy") {
        for variable in variables(&text) {
            named += 1;
            assert!(settings.contains(&format!("`{variable}`")), "{path} names {variable}");
        }
        for command in commands(&text) {
            let name = command.split_whitespace().take_while(|w| !w.starts_with('-')).collect::<Vec<_>>().join(" ");
            assert!(cli.contains(&format!("## chancery {name}\n")), "{path} runs {name}");
            for flag in flags(command) {
                assert!(cli.contains(&format!(" {flag} ")), "{path} names {flag}");
            }
        }
    }
    assert!(named > 20, "{named}");
}

/// `args: [serve]` of Kubernetes, `command: [serve]` of Compose, `CMD ["chancery", "health"]` of the image.
#[test]
fn every_command_of_a_container_exists() {
    let cli = read("docs/reference/cli.md");
    let mut seen = BTreeSet::new();
    for (path, text) in files("deploy") {
        for line in text.lines().map(str::trim) {
            let list = ["args: [", "command: [", "test: [CMD, chancery, ", "CMD [\"chancery\", "]
                .iter()
                .find_map(|start| line.split_once(start).map(|(_, rest)| rest));
            let Some(first) = list.map(|l| name_at(l.trim_start_matches('"'), |c| c.is_ascii_lowercase())) else {
                continue;
            };
            assert!(cli.contains(&format!("## chancery {first}\n")), "{path} runs {first}");
            seen.insert(first.to_owned());
        }
    }
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), ["health", "migrate", "serve"]);
}

#[test]
fn deploy_names_the_version_that_is_built() {
    let version = env!("CARGO_PKG_VERSION");
    for (path, name) in [
        ("deploy/compose.yaml", format!("image: localhost/chancery:{version}\n")),
        ("deploy/Containerfile", format!("localhost/chancery:{version} ")),
        ("deploy/kubernetes/base/kustomization.yaml", format!("newTag: {version}\n")),
    ] {
        assert!(read(path).contains(&name), "{path} does not name {version}");
    }
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split('"').nth(1).unwrap();
    let containerfile = read("deploy/Containerfile");
    for name in [format!("rust:{channel}-bookworm"), format!("RUSTUP_TOOLCHAIN={channel}\n")] {
        assert!(containerfile.contains(&name), "deploy/Containerfile does not name {name}");
    }
}

/// What is in the repository is meant to be copied; a secret in it would be one that everybody has.
#[test]
fn deploy_has_no_secret() {
    let names = files("deploy").into_iter().map(|(path, _)| path);
    let is_key = |path: &str| Path::new(path).extension().is_some_and(|e| e == "key");
    assert!(names.into_iter().all(|p| !is_key(&p) && !p.contains("/secrets/")));
    let example = read("deploy/kubernetes/secret.example.yaml");
    assert!(example.contains("sealing.key: REPLACE\n") && example.contains(":REPLACE@"));
    assert!(read(".gitignore").contains("/deploy/secrets\n"));
}
