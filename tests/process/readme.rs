//! Runs every command of the README as printed, except that addresses differ and `cargo run` is replaced by the
//! program that is already built.

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

/// What to do with a block of commands, which is identified by a line in it, and what it must print. An unknown
/// block fails the test.
enum Plan {
    /// Starts a server. The test starts its own, on free ports.
    Serve(&'static [&'static str]),
    /// Covered by another test, or by this one.
    Elsewhere,
    /// `scripts/browser` does the same, and looks at it with a browser.
    InBrowser,
    /// Starts the example API. The test starts its own, on a free port.
    Api,
    /// Succeeds and prints this.
    Prints(&'static str),
    /// Fails and prints this.
    Refused(&'static str),
}

fn plan(text: &str) -> Plan {
    match text {
        "cargo run -- serve --dev" => Plan::Serve(&["--dev"]),
        "cargo run -- serve" => Plan::Serve(&[]),
        "scripts/test" => Plan::Elsewhere,
        "cargo run -- serve --dev --app http://127.0.0.1:5000" => Plan::InBrowser,
        t if t.contains("flask --app examples/flask/app run") => Plan::InBrowser,
        "cargo run -p chancery-examples --bin shop" => Plan::InBrowser,
        "cargo run -q -p chancery-examples --bin axum-api" => Plan::Api,
        // The last answer is the refusal.
        t if t.contains("127.0.0.1:3000") => Plan::Prints("\n401\n"),
        t if t.contains("for n in 2 3") => Plan::Refused("REFRESH_TOKEN_REUSED"),
        t if t.contains("AccountService/GetMe") => Plan::Prints("\"name\": \"grace\""),
        t if t.contains("AuthService/Logout") => Plan::Prints("accessTokenValidUntil"),
        t if t.contains("AccountService/Register") => Plan::Prints("\"ticket\""),
        t if t.contains("AccountService/VerifyEmail") => Plan::Prints("heidi@example.com"),
        t if t.contains("\"login\": \"grace\"") => Plan::Prints("\"audience\": \"shop-api\""),
        t if t.contains("AuthService/Login") => Plan::Prints("\"audience\": \"demo-api\""),
        t if t.contains("AuthService/Refresh") => Plan::Prints("\"refreshToken\""),
        t if t.contains("IssueClientToken") => Plan::Prints("\"accessToken\""),
        t if t.starts_with("curl ") => Plan::Prints("\"kid\""),
        t if t.contains("--example verify") => Plan::Prints("demo-app"),
        t if t.starts_with("cargo run -- user create") => Plan::Prints("created usr_"),
        t if t.starts_with("cargo run -- client create shop-web") => Plan::Prints("\"client_secret\":\""),
        t if t.starts_with("cargo run -- client create") => Plan::Prints("secret, shown only once"),
        t if t.starts_with("cargo run -- user sessions") => Plan::Prints("disabled grace; 1 sessions ended"),
        other => panic!("the README has a block that no test knows:\n{other}"),
    }
}

/// The example API; stops when dropped.
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

/// The text with this test's addresses and programs.
fn with_local_addresses(text: &str, server: &Server, api: Option<&Api>) -> String {
    let example = Path::new(BIN).with_file_name("examples").join("verify");
    // The only command that prompts gets a terminal.
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
    // One shell for all blocks, as for a reader: later blocks use definitions of earlier ones.
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
            // The crate's doctests compile the Rust program.
            "text" | "rust,no_run" => continue,
            other => panic!("a block in {other:?}"),
        }
        let (good, wanted) = match plan(text) {
            Plan::Elsewhere => {
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(text).is_file(), "{text}");
                continue;
            }
            Plan::InBrowser => continue,
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
        let text = with_local_addresses(text, server.as_ref().unwrap(), api.as_ref());
        let mut script = session.clone();
        writeln!(script, "{text}").unwrap();
        let (ended_well, printed) = run("bash", &["-c", &script], path);
        assert!(ended_well == good && printed.contains(wanted), "{text}\nprinted:\n{printed}");
        // Definitions stay; commands do not run twice.
        let definitions = text.lines().filter(|l| l.contains("() {"));
        definitions.for_each(|line| writeln!(session, "{line}").unwrap());
    }
    assert_eq!(starts, 2, "the README starts the demo and a server of the reader's own");
}

/// Runs the README's program on the new token; it must accept it.
fn check_with(language: &str, text: &str, server: &Server, path: &Path) {
    let var = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"));
    let text = with_local_addresses(text, server, None);
    let (program, file) = if language == "python" {
        (var("CHTEST_PYTHON"), path.join("check.py"))
    } else {
        // Packages are looked up next to the program.
        let packages = Path::new(&var("CHTEST_NODE_VERIFY")).with_file_name("node_modules");
        std::os::unix::fs::symlink(packages, path.join("node_modules")).unwrap();
        (var("CHTEST_NODE"), path.join("check.mjs"))
    };
    fs::write(&file, &text).unwrap();
    let (ended_well, printed) = run(&program, &[file.to_str().unwrap()], path);
    assert!(ended_well && printed.contains("may orders.read orders.write"), "{text}\nprinted:\n{printed}");
}
