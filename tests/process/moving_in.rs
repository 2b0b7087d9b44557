//! Imports users of another system with a command while a server is running.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use chancery::grpc::pb::{LoginRequest, TokenPair, auth_service_client::AuthServiceClient, login_response};

use serde_json::json;

use crate::{
    calls::{log_in, login_request, reason, start},
    place::Place,
    server::{BIN, Server, command, run},
};

const PASSWORD: &str = "correct horse battery staple";
/// A hash of [`PASSWORD`], created by another program.
const BCRYPT: &str = "$2b$04$juLUO/IEsL0cvx0rEOqgeeAiY14meE5MPGSC/cyAsGD.P.55g6.kK";

/// A JSON line for each user.
fn lines(users: std::ops::Range<usize>) -> String {
    let line = |n| json!({ "subject": format!("old-{n}"), "name": format!("user{n}"), "password_hash": BCRYPT });
    users.map(|n| format!("{}\n", line(n))).collect()
}

async fn users(place: &Place) -> usize {
    place.texts("SELECT CAST(count(*) AS TEXT) FROM users WHERE subject LIKE 'old-%'").await[0].parse().unwrap()
}

#[tokio::test]
async fn an_import_killed_half_way_continues_when_run_again() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = start(&place);
        let mut killed = command(&["user", "import", "-", "--format", "jsonl"])
            .args(place.flags())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = killed.stdin.take().unwrap();
        stdin.write_all(lines(0..2500).as_bytes()).unwrap();
        // It has written all full batches and waits for more input.
        while users(&place).await < 2000 {
            assert!(killed.try_wait().unwrap().is_none(), "{}: it has ended", place.engine());
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        drop(stdin);
        assert_eq!(users(&place).await, 2000);
        let file = dir.path().join(format!("{}.jsonl", place.engine()));
        fs::write(&file, lines(0..3500)).unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(place.command(&["user", "import", file], ""), "1500 created, 2000 already present, 0 refused\n");
        let again: serde_json::Value =
            serde_json::from_str(&place.command(&["user", "import", file, "--json"], "")).unwrap();
        assert_eq!(again, json!({ "created": 0, "present": 3500, "refused": 0 }));
        // The server that was running all the time sees them.
        let pair = log_in(server.channel().await, "user2222", PASSWORD).await.unwrap();
        assert!(!pair.refresh_token.is_empty());
        let wrong = log_in(server.channel().await, "user2222", "not this one").await.unwrap_err();
        assert_eq!(reason(&wrong).as_deref(), Some("INVALID_CREDENTIALS"));
    }
}

#[tokio::test]
async fn a_file_with_invalid_rows_can_be_dry_run_corrected_and_imported() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let _server = start(&place);
        let (file, report) = (dir.path().join("users.csv"), dir.path().join("refused.jsonl"));
        let head = "subject,name,emails,attributes,password_hash,disabled,created_at\n";
        let good = format!("1,lovelace,l@example.org,\"{{\"\"team\"\":\"\"x\"\"}}\",{BCRYPT},,2019-05-06T07:08:09Z\n");
        let rows = |third: &str| format!("{head}{good}2,,only@example.org,,,true,\n3,{third},,,{BCRYPT},,\n4,ninth\n");
        fs::write(&file, rows("l@example.org")).unwrap();
        let (file, report) = (file.to_str().unwrap(), report.to_str().unwrap());
        for (flags, summary) in [
            (&["--dry-run"][..], "dry run: 2 created, 0 already present, 2 refused\n"),
            (&["--report", report], "2 created, 0 already present, 2 refused\n"),
        ] {
            let out = run(command(&["user", "import", file]).args(flags).args(place.flags()), b"");
            let (told, errors) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
            assert_eq!((out.status.code(), told.as_str()), (Some(1), summary), "{errors}");
            assert!(errors.contains("line 4 (\"3\"): name must not contain an @"), "{errors}");
            assert!(errors.contains("line 5: line has 2 columns, not 7"), "{errors}");
            assert!(errors.contains("chancery: 2 rows were refused") && !errors.contains(BCRYPT), "{errors}");
        }
        let told: Vec<serde_json::Value> =
            fs::read_to_string(report).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!((&told[0]["line"], &told[0]["subject"]), (&json!(4), &json!("3")));
        assert_eq!((&told[0]["violations"][0]["field"], &told[1]["line"]), (&json!("name"), &json!(5)));
        fs::write(file, rows("byron").replace("4,ninth\n", "")).unwrap();
        assert_eq!(place.command(&["user", "import", file], ""), "1 created, 2 already present, 0 refused\n");
        let shown: serde_json::Value = serde_json::from_str(&place.command(&["user", "show", "lovelace"], "")).unwrap();
        assert_eq!((&shown["subject"], &shown["attributes"]["team"]), (&json!("1"), &json!("x")));
        assert_eq!(shown["create_time"], "2019-05-06T07:08:09.000Z");
    }
}

const GUIDE: &str = include_str!("../../docs/moving-in.md");

/// The guide's code blocks in a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let pieces = GUIDE.split("\n```").skip(1).step_by(2);
    pieces.filter_map(|piece| piece.split_once('\n').filter(|(l, _)| *l == language).map(|(_, text)| text)).collect()
}

fn python() -> Command {
    Command::new(std::env::var("CHTEST_PYTHON").expect("CHTEST_PYTHON is not set: run scripts/test"))
}

/// Checks a token like the resource server in the guide. Returns its subject if it is accepted.
fn resource_server(server: &Server, token: &str) -> Option<String> {
    let out = python()
        .args(["-c", blocks("python")[0]])
        .env("ISSUER", &server.issuer)
        .env("JWKS", format!("http://{}/.well-known/jwks.json", server.http))
        .env("TOKEN", token)
        .output()
        .unwrap();
    out.status.success().then(|| String::from_utf8(out.stdout).unwrap().trim().to_owned())
}

async fn sign_in(server: &Server, request: LoginRequest) -> TokenPair {
    let answer = AuthServiceClient::new(server.channel().await).login(request).await.unwrap();
    match answer.into_inner().result {
        Some(login_response::Result::Tokens(pair)) => pair,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_migration_guide_works_and_no_user_needs_a_new_password() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        fs::create_dir_all(&place.dir).unwrap();
        let old = python()
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/old_service.py"))
            .current_dir(&place.dir)
            .output()
            .unwrap();
        assert!(old.status.success(), "{}", String::from_utf8_lossy(&old.stderr));
        let token = fs::read_to_string(place.dir.join("old.token")).unwrap();
        let server = Server::on(&place, &[]);
        assert_eq!(resource_server(&server, &token), None, "nobody knows the old key yet");
        let wanted = [
            "old-2019 is published until",
            "dry run: 3 created, 0 already present, 0 refused",
            "3 created, 0 already present, 0 refused",
            "shop",
        ];
        let commands = blocks("sh");
        assert_eq!(commands.len(), wanted.len());
        for (block, wanted) in commands.into_iter().zip(wanted) {
            let program = format!("chancery() {{ {BIN} \"$@\" {}; }}\n", place.flags().join(" "));
            let script =
                Command::new("bash").args(["-ec", &(program + block)]).current_dir(&place.dir).output().unwrap();
            let told = [script.stdout, script.stderr].map(|b| String::from_utf8(b).unwrap()).concat();
            assert!(script.status.success() && told.contains(wanted), "{block}\n{told}");
        }
        assert_eq!(resource_server(&server, &token).as_deref(), Some("42"), "tokens already issued live on");
        for (name, subject, password) in
            [("ada@example.com", "42", "the phrase ada has had"), ("grace", "43", "grace's own, for years")]
        {
            let request = LoginRequest { client_id: "shop".into(), ..login_request(name, password) };
            let pair = sign_in(&server, request).await;
            assert_eq!(resource_server(&server, &pair.access_token).as_deref(), Some(subject));
        }
        let hashes = place.texts("SELECT phc FROM passwords").await;
        assert!(hashes.len() == 2 && hashes.iter().all(|h| h.starts_with("$argon2id$")), "{hashes:?}");
    }
}
