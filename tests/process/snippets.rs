//! The programs in docs/verifying.md and the README refuse keys of another issuer.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use chancery_verify::{Clock, SystemClock, testing::TestIssuer};

use crate::{
    calls::{CLIENT, start},
    place::Place,
    server::Server,
    watching::sign_in,
};

const DOCS: &str = include_str!("../../docs/verifying.md");
const README: &str = include_str!("../../README.md");
const PYTHON: &str = "import sys, jwt\ntoken = sys.stdin.read().strip()\n\
    keys = jwt.PyJWKClient(\"https://id.example.com/.well-known/jwks.json\")\n";
const NODE: &str = "import { readFileSync } from \"node:fs\";\n\
    import { createRemoteJWKSet, customFetch, jwtVerify } from \"jose\";\n\
    const token = readFileSync(0, \"utf8\").trim();\n";

/// The program in this language that looks at the mark.
fn snippet(text: &'static str, language: &str) -> &'static str {
    let opening = format!("\n```{language}\n");
    let blocks = text.split(&*opening).skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
    blocks.filter(|text| text.contains("foreign")).last().unwrap()
}

/// Runs the program with a token. Returns whether it accepted it, and what it printed.
fn run(program: &str, file: &Path, token: &str) -> (bool, String) {
    let mut child = Command::new(program)
        .arg(file)
        .current_dir(file.parent().unwrap())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), token.as_bytes()).ok();
    let out = child.wait_with_output().unwrap();
    (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
}

fn write(dir: &Path, name: &str, text: &str, server: &Server) -> std::path::PathBuf {
    let url = format!("http://{}/.well-known/jwks.json", server.http);
    let text = text.replace("https://id.example.com/.well-known/jwks.json", &url);
    let text = text.replace("https://id.example.com", &server.issuer).replace("orders-api", "api");
    // The README's.
    let text = text.replace("http://127.0.0.1:8080/.well-known/jwks.json", &url);
    let text = text.replace("http://127.0.0.1:8080", &server.issuer).replace("demo-api", "api");
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn the_snippets_accept_chancerys_tokens_and_refuse_those_of_foreign_keys() {
    let var = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"));
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    let old = TestIssuer::new(&*server.issuer);
    let keys = dir.path().join("old.json");
    fs::write(&keys, old.jwks()).unwrap();
    let until = Command::new("date").args(["-u", "-d", "+30 days", "+%FT%TZ"]).output().unwrap().stdout;
    let until = String::from_utf8(until).unwrap();
    server.command(&["keys", "trust", keys.to_str().unwrap(), "--until", until.trim()], "");
    let now = SystemClock.now_ms() / 1000;
    let forged = old.token("ada", "api").client(CLIENT).claim("iat", now).claim("exp", now + 300).claim("scope", "");
    let (good, forged) = (sign_in(&server).await.access_token, forged.claim("auth_time", now).mint());

    let packages = Path::new(&var("CHTEST_NODE_VERIFY")).with_file_name("node_modules");
    symlink(packages, dir.path().join("node_modules")).unwrap();
    let python = write(dir.path(), "check.py", &format!("{PYTHON}{}", snippet(DOCS, "python")), &server);
    let node = write(dir.path(), "check.mjs", &format!("{NODE}{}", snippet(DOCS, "js")), &server);
    let readme_python = write(dir.path(), "readme.py", snippet(README, "python"), &server);
    let readme_node = write(dir.path(), "readme.mjs", snippet(README, "js"), &server);
    let login = dir.path().join("login.json");
    for (program, file) in [
        (var("CHTEST_PYTHON"), python),
        (var("CHTEST_NODE"), node),
        (var("CHTEST_PYTHON"), readme_python),
        (var("CHTEST_NODE"), readme_node),
    ] {
        fs::write(&login, serde_json::json!({ "tokens": { "accessToken": good } }).to_string()).unwrap();
        let (accepted, printed) = run(&program, &file, &good);
        assert!(accepted, "{}: {printed}", file.display());
        fs::write(&login, serde_json::json!({ "tokens": { "accessToken": forged } }).to_string()).unwrap();
        let (accepted, printed) = run(&program, &file, &forged);
        let why = printed.contains("another issuer") || printed.contains("ERR_JWKS_NO_MATCHING_KEY");
        assert!(!accepted && why, "{}: {printed}", file.display());
    }
}
