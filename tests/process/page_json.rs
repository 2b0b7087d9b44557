//! docs/page-json.md: its commands and its program work as printed, and its tables have every step and code.

use std::{fs, process::Command};

use chancery::web::pages::{StepName, Text};

use crate::{place::Place, server::Server};

const DOCS: &str = include_str!("../../docs/page-json.md");

/// The block in this language.
fn block(language: &str) -> &'static str {
    DOCS.split(&format!("\n```{language}\n")).nth(1).unwrap().split("\n```").next().unwrap()
}

/// A browser, as far as the program needs one: an origin, cookies, and a place to go to.
const BROWSER: &str = r#"
const origin = process.argv[2];
const jar = new Map();
const ask = globalThis.fetch;
globalThis.fetch = async (path, { headers = {}, ...more } = {}) => {
  const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
  const answer = await ask(origin + path, { ...more, headers: { ...headers, origin, cookie }, redirect: "error" });
  for (const set of answer.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(set);
    jar.set(name, value);
  }
  return answer;
};
globalThis.location = { assign: (to) => console.log("arrived at", to, "with", [...jar.keys()].join(" ")) };
"#;

#[test]
fn the_commands_and_the_program_of_the_pages_in_json_work_as_printed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(&Place::sqlite(&dir.path().join("data")), &["--dev"]);
    let origin = format!("http://{}", server.http);

    let script = block("sh").replace("http://127.0.0.1:8080", &origin);
    let out = Command::new("bash").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
    let printed = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
    assert!(printed.contains("{\"step\":\"login\",\"url\":\"/auth/login?r="), "{printed}");
    assert!(printed.contains(&format!("\"location\":\"{origin}/welcome\"")), "{printed}");

    let node = std::env::var("CHTEST_NODE").expect("CHTEST_NODE is not set: run scripts/test");
    let file = dir.path().join("page.mjs");
    for (program, wanted) in [
        (block("js").to_owned(), format!("arrived at {origin}/cart with chancery-visitor")),
        (block("js").replace("horse", "cow"), "login Name or password is wrong.".to_owned()),
    ] {
        fs::write(&file, format!("{BROWSER}{program}\n")).unwrap();
        let out = Command::new(&node).arg(&file).arg(&origin).output().unwrap();
        let printed = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        assert!(printed.contains(&wanted), "{printed}");
    }
}

#[test]
fn every_step_and_every_code_is_described() {
    let rows: Vec<&str> = DOCS.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    for step in StepName::ALL {
        assert!(rows.contains(&step.as_str()), "{} has no row", step.as_str());
    }
    // The hints of a page for people have none.
    for code in Text::CODES.iter().filter(|code| **code != "TRY") {
        assert!(DOCS.contains(&format!("`{code}`")), "{code} is not described");
    }
}
