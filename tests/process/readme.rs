//! Every command of the README, run as printed: only addresses differ, and `cargo run` is the program
//! that was built already.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::server::{BIN, Server};

const README: &str = include_str!("../../README.md");
/// The password that this reader chooses.
const CHOSEN: &str = "a pass phrase of my own";

/// A fenced block: its language and text.
struct Block {
    language: &'static str,
    text: &'static str,
}

fn blocks() -> Vec<Block> {
    let pieces: Vec<&'static str> = README.split("\n```").collect();
    let opened = pieces.iter().skip(1).step_by(2);
    opened
        .map(|piece| {
            let (language, text) = piece.split_once('\n').unwrap();
            Block { language, text }
        })
        .collect()
}

/// What to do with each block of commands: the first line that names it, and what it must print. A
/// block that is not here fails the test.
enum Plan {
    /// Starts a server, which the test does with ports that are free.
    Serve(&'static [&'static str]),
    /// Another test, or this one.
    Elsewhere,
    /// Starts the example's API, which the test does on a port that is free.
    Api,
    /// Ends well and prints this.
    Prints(&'static str),
    /// Ends badly and prints this.
    Refused(&'static str),
}

fn plan(text: &str) -> Plan {
    match text {
        "cargo run -- serve --dev" => Plan::Serve(&["--dev"]),
        "cargo run -- serve" => Plan::Serve(&[]),
        "scripts/test" => Plan::Elsewhere,
        "cargo run -q -p chancery-examples --bin axum-api" => Plan::Api,
        // The last answer is the one that refuses.
        t if t.contains("127.0.0.1:3000") => Plan::Prints("\n401\n"),
        t if t.contains("for n in 2 3") => Plan::Refused("REFRESH_TOKEN_REUSED"),
        t if t.contains("AuthService/Logout") => Plan::Prints("accessTokenValidUntil"),
        t if t.contains("AccountService/Register") => Plan::Prints("\"ticket\""),
        t if t.contains("AccountService/VerifyEmail") => Plan::Prints("heidi@example.com"),
        t if t.contains("\"grace\"") => Plan::Prints("\"refreshToken\""),
        t if t.contains("AuthService/Login") => Plan::Prints("\"audience\": \"demo-api\""),
        t if t.contains("AuthService/Refresh") => Plan::Prints("\"refreshToken\""),
        t if t.contains("IssueClientToken") => Plan::Prints("\"accessToken\""),
        t if t.starts_with("curl ") => Plan::Prints("\"kid\""),
        t if t.contains("--example verify") => Plan::Prints("demo-app"),
        t if t.starts_with("cargo run -- user create") => Plan::Prints("secret, shown only once"),
        t if t.starts_with("cargo run -- session list") => Plan::Prints("disabled grace; 1 sessions ended"),
        other => panic!("the README has a block that no test knows:\n{other}"),
    }
}

/// The example's API, until this is dropped.
struct Api {
    child: Child,
    address: String,
}

impl Api {
    fn start(server: &Server) -> Self {
        let program = Path::new(BIN).with_file_name("axum-api");
        let (issuer, grpc) = (format!("http://{}", server.http), format!("http://{}", server.grpc));
        let mut command = Command::new(&program);
        command.args(["127.0.0.1:0", &issuer, &grpc]).stdout(Stdio::piped());
        let hint = "cargo build -p chancery-examples, or cargo test --workspace, makes it";
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}: {hint}", program.display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("ready http=").unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text with this reader's addresses and programs.
fn here(text: &str, server: &Server, api: Option<&Api>) -> String {
    let example = Path::new(BIN).with_file_name("examples").join("verify");
    // The one command that asks at a terminal gets one.
    let asked = format!("printf '{CHOSEN}\\n{CHOSEN}\\n' | script -qec '{BIN} user create grace' /dev/null");
    text.replace("cargo run -- user create grace", &asked)
        .replace("cargo run -q -p chancery-verify --example verify --", example.to_str().unwrap())
        .replace("cargo run --", BIN)
        .replace("127.0.0.1:50051", &server.grpc)
        .replace("127.0.0.1:8080", &server.http)
        .replace("your long pass phrase", CHOSEN)
        .replace("127.0.0.1:3000", api.map_or("127.0.0.1:3000", |api| &api.address))
}

fn run(program: &str, args: &[&str], directory: &Path) -> (bool, String) {
    let path = [std::env::var("CHTEST_PATH").unwrap_or_default(), std::env::var("PATH").unwrap()].join(":");
    let out = Command::new(program).args(args).current_dir(directory).env("PATH", path).output().unwrap();
    let text = [out.stdout, out.stderr].map(|b| String::from_utf8(b).unwrap()).concat();
    (out.status.success(), text)
}

#[test]
fn every_command_in_the_readme_works_as_described() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let mut server: Option<Server> = None;
    // One shell for all blocks, as a reader has one: what a block defines is there for the next.
    let mut session = String::new();
    let mut starts = 0;
    let mut api: Option<Api> = None;
    for block in blocks() {
        let text = block.text.trim_end();
        match block.language {
            "sh" => {}
            "python" => {
                check_with("python", text, server.as_ref().unwrap(), path);
                continue;
            }
            "js" => {
                check_with("js", text, server.as_ref().unwrap(), path);
                continue;
            }
            // The crate's documentation tests compile the program in Rust.
            "text" | "rust,no_run" => continue,
            other => panic!("a block in {other:?}"),
        }
        let (good, wanted) = match plan(text) {
            Plan::Elsewhere => {
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(text).is_file(), "{text}");
                continue;
            }
            Plan::Api => {
                api = server.as_ref().map(Api::start);
                continue;
            }
            Plan::Serve(flags) => {
                drop(api.take());
                drop(server.take());
                let data = path.join(if flags.is_empty() { "chancery-data" } else { "chancery-dev" });
                server = Some(Server::start(&data, flags));
                starts += 1;
                continue;
            }
            Plan::Prints(wanted) => (true, wanted),
            Plan::Refused(wanted) => (false, wanted),
        };
        let text = here(text, server.as_ref().unwrap(), api.as_ref());
        let mut script = session.clone();
        writeln!(script, "{text}").unwrap();
        let (ended_well, printed) = run("bash", &["-c", &script], path);
        assert!(ended_well == good && printed.contains(wanted), "{text}\nprinted:\n{printed}");
        // Definitions last; nothing is called twice.
        let definitions = text.lines().filter(|l| l.contains("() {"));
        definitions.for_each(|line| writeln!(session, "{line}").unwrap());
    }
    assert_eq!(starts, 2, "the README starts the demo and a server of the reader's own");
}

/// Runs the README's program on the token that was just obtained; it must accept it.
fn check_with(language: &str, text: &str, server: &Server, path: &Path) {
    let var = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"));
    let text = here(text, server, None);
    let (program, file) = if language == "python" {
        (var("CHTEST_PYTHON"), path.join("check.py"))
    } else {
        // Packages are looked for beside the program.
        let packages = Path::new(&var("CHTEST_NODE_VERIFY")).with_file_name("node_modules");
        std::os::unix::fs::symlink(packages, path.join("node_modules")).unwrap();
        (var("CHTEST_NODE"), path.join("check.mjs"))
    };
    fs::write(&file, &text).unwrap();
    let (ended_well, printed) = run(&program, &[file.to_str().unwrap()], path);
    assert!(ended_well && printed.contains("may orders.read orders.write"), "{text}\nprinted:\n{printed}");
}
