//! `chancery apply`, `serve --apply` and `chancery export`.

mod half_way;
mod set_up;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use chancery::grpc::pb::{IssueClientTokenRequest, auth_service_client::AuthServiceClient};
use tonic::{Request, transport::Channel};

use crate::{
    calls::{PASSWORD, log_in_as},
    place::Place,
    refused::Refused,
    server::{Server, command, run},
};

const DOCS: &str = include_str!("../../docs/declared.md");
const SECRET: &str = "6f1c0f8e5b7a4d3c9e2b1a0f8d7c6b5a";
const OTHER_SECRET: &str = "b5a6c7d8f0a1b2e9c3d4a7b5e8f0c1f6";

/// The example of the documentation, with the files that it names.
fn write_example(dir: &Path) -> PathBuf {
    let text = DOCS.split("\n```toml\n").nth(1).unwrap().split("\n```").next().unwrap();
    fs::create_dir_all(dir.join("secrets")).unwrap();
    fs::write(dir.join("secrets/shop-worker"), format!("{SECRET}\n")).unwrap();
    fs::write(dir.join("secrets/grace"), format!("{PASSWORD}\n")).unwrap();
    let path = dir.join("chancery.toml");
    fs::write(&path, text).unwrap();
    path
}

fn apply(place: &Place, file: &Path, flags: &[&str]) -> (Option<i32>, String, String) {
    let out = run(command(&["apply", file.to_str().unwrap()]).args(flags).args(place.flags()), b"");
    let Output { status, stdout, stderr } = out;
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// What a process says that is about this machine, and of no interest here.
fn noise(line: &str) -> bool {
    ["synchronous_commit is off", " INFO "].iter().any(|text| line.contains(text))
}

async fn token(channel: Channel, client: &str, secret: &str) -> Result<(), tonic::Status> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut request = Request::new(IssueClientTokenRequest::default());
    let basic = format!("Basic {}", STANDARD.encode(format!("{client}:{secret}")));
    request.metadata_mut().insert("authorization", basic.parse().unwrap());
    AuthServiceClient::new(channel).issue_client_token(request).await.map(|_| ())
}

/// Asks until it is so: a server learns within a second what a command has changed.
async fn soon<T, E: std::fmt::Debug>(what: impl AsyncFn() -> Result<T, E>) {
    let asked = async { while what().await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), asked).await.expect("it is not so");
}

/// Everything that a second application must leave as it is.
async fn rows(place: &Place) -> Vec<String> {
    let mut all = place.texts("SELECT CAST(count(*) AS TEXT) FROM audit_events").await;
    all.extend(place.texts("SELECT id || ' ' || CAST(revision AS TEXT) FROM clients ORDER BY id").await);
    all.extend(place.texts("SELECT name || ' ' || CAST(revision AS TEXT) FROM roles ORDER BY name").await);
    all.extend(place.texts("SELECT kind || ' ' || name FROM declared ORDER BY kind, name").await);
    all
}

#[tokio::test]
async fn an_empty_database_is_set_up_by_a_file_and_a_second_time_nothing_differs() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let file = write_example(dir.path());
        let server = Server::on(&place, &["--apply", file.to_str().unwrap()]);
        log_in_as(server.channel().await, "shop", "grace", PASSWORD).await.unwrap();
        token(server.channel().await, "shop-worker", SECRET).await.unwrap();
        let log = fs::read_to_string(&server.log).unwrap();
        assert!(log.contains("+ client shop") && !log.contains(SECRET), "{log}");
        let before = rows(&place).await;
        // The mark of a first start may be left beside a database that is claimed.
        fs::write(place.dir.join("first-start"), "").unwrap();
        for flags in [&[][..], &["--dry-run"], &["--prune"]] {
            let (code, printed, said) = apply(&place, &file, flags);
            assert_eq!((code, printed.as_str()), (Some(0), "nothing differs\n"), "{said}");
            assert!(said.lines().all(noise), "{said}");
        }
        let again = server.again();
        drop(again);
        assert_eq!(rows(&place).await, before, "{}", place.engine());
        let contents = place.contents().await;
        assert!(!String::from_utf8_lossy(&contents).contains(SECRET));
    }
}

#[tokio::test]
async fn a_dry_run_says_what_differs_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = Server::on(&place, &[]);
        let file = write_example(dir.path());
        let before = rows(&place).await;
        let (code, planned, said) = apply(&place, &file, &["--dry-run"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.lines().all(noise), "{said}");
        for line in
            ["+ role clerk", "+ client shop: audiences: shop-api, $issuer", "+ user grace: roles: administrator"]
        {
            assert!(planned.lines().any(|l| l == line), "{line}: {planned}");
        }
        assert!(planned.ends_with("; nothing was changed\n") && !planned.contains(SECRET), "{planned}");
        assert_eq!(rows(&place).await, before);
        let (code, printed, _) = apply(&place, &file, &[]);
        let same = |text: &str| text.lines().filter(|l| l.starts_with(['+', '~', '-'])).count();
        assert_eq!((code, same(&printed)), (Some(0), same(&planned)), "{printed}");
        // What the documentation prints.
        let shown = DOCS.split("\n```text\n").nth(1).unwrap().split("\n```").next().unwrap();
        for line in shown.lines().filter(|line| *line != "...") {
            assert!(printed.lines().any(|l| l == line), "{line}: {printed}");
        }
        drop(server);
    }
}

#[tokio::test]
async fn what_another_user_has_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = Server::on(&place, &[]);
        let emails = ["--email", "Ada@Example.com", "--subject", "s-1"];
        place.command(&[&["user", "create", "coc", "--password-stdin"], &emails[..]].concat(), PASSWORD);
        let file = dir.path().join("users.toml");
        let text = "[[client]]\nclient_id = \"shop\"\naudiences = [\"a\"]\n\n[[user]]\nname = \"grace\"\n\
            emails = [\"ada@example.com\"]\nsubject = \"s-1\"\n\n[[user]]\nname = \"сос\"\n\n\
            [[user]]\nname = \"lin\"\nsubject = \"coc\"\n";
        fs::write(&file, text).unwrap();
        let before = rows(&place).await;
        for flags in [&["--dry-run"][..], &[]] {
            let (code, printed, said) = apply(&place, &file, flags);
            assert_eq!((code, printed.as_str()), (Some(1), ""), "{said}");
            for what in [
                "line 7: user grace: emails: ada@example.com is another user's",
                "line 8: user grace: subject: s-1 is, or was, another user's",
                "line 11: user сос: name: сос looks like another user's",
            ] {
                assert!(said.contains(what), "{what}: {said}");
            }
            assert!(!said.contains("lin:"), "{said}");
        }
        assert_eq!(rows(&place).await, before);
        drop(server);
    }
}

#[tokio::test]
async fn a_user_is_who_signs_in_with_the_name_whatever_ids_and_subjects_others_have() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let server = Server::on(&place, &[]);
        place.command(&["user", "create", "other", "--password-stdin", "--subject", "grace"], PASSWORD);
        let file = dir.path().join("users.toml");
        let text = "[[user]]\nname = \"grace\"\nroles = [\"administrator\"]\nsubject = \"s-1\"\n";
        fs::write(&file, text).unwrap();
        let (code, printed, said) = apply(&place, &file, &[]);
        assert!(code == Some(0) && printed.contains("+ user grace: roles: administrator\n"), "{printed}{said}");
        // Who has the subject is somebody else, now and later.
        for roles in ["\"auditor\"", "\"administrator\", \"auditor\""] {
            fs::write(&file, text.replace("\"administrator\"", roles)).unwrap();
            let (code, printed, said) = apply(&place, &file, &[]);
            assert_eq!(code, Some(0), "{printed}{said}");
        }
        assert_eq!(apply(&place, &file, &[]).1, "nothing differs\n");
        let held = "SELECT u.subject FROM user_roles r JOIN users u ON u.id = r.user_id ORDER BY 1";
        assert_eq!(place.texts(held).await, ["s-1", "s-1"]);
        drop(server);
    }
}

#[tokio::test]
async fn three_that_start_at_once_leave_one_state_and_no_event_twice() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let file = write_example(dir.path());
        let flag = file.to_str().unwrap().to_owned();
        let starts = (0..3).map(|_| {
            let (place, flag) = (place.clone(), flag.clone());
            tokio::task::spawn_blocking(move || Server::on(&place, &["--apply", &flag]))
        });
        let mut servers = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            servers.push(start.await.unwrap());
        }
        let kinds = "kind || ' ' || subject";
        let made =
            "kind IN ('CLIENT_CREATED', 'ROLE_CREATED', 'USER_CREATED', 'SETTING_CHANGED', 'CLIENT_SECRET_ROTATED')";
        let mut events = place.texts(&format!("SELECT {kinds} FROM audit_events WHERE {made} ORDER BY 1")).await;
        let all = events.len();
        events.dedup();
        // Subjects of roles and users are ids: they are counted by what they are.
        assert_eq!(events.len(), all, "{}: {events:?}", place.engine());
        assert_eq!(place.count("roles", "name = 'clerk'").await, 1);
        assert_eq!(place.count("audit_events", "kind = 'ROLE_CREATED'").await, 1);
        assert_eq!(place.count("audit_events", "kind = 'USER_CREATED'").await, 1);
        for server in &servers {
            log_in_as(server.channel().await, "shop", "grace", PASSWORD).await.unwrap();
        }
        let (code, printed, said) = apply(&place, &file, &["--dry-run"]);
        assert_eq!((code, printed.as_str()), (Some(0), "nothing differs\n"), "{said}");
    }
}

#[tokio::test]
async fn commands_at_the_same_time_share_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let client = |n: u32| format!("[[client]]\nclient_id = \"c{n}\"\naudiences = [\"a{}\"]\n", n % 3);
    let file = dir.path().join("many.toml");
    fs::write(&file, (0..40).map(client).collect::<String>()).unwrap();
    for place in Place::each(&dir).await {
        let server = Server::on(&place, &[]);
        let commands = (0..4).map(|_| {
            let (place, file) = (place.clone(), file.clone());
            tokio::task::spawn_blocking(move || apply(&place, &file, &[]))
        });
        for command in commands.collect::<Vec<_>>() {
            let (code, printed, said) = command.await.unwrap();
            assert_eq!(code, Some(0), "{}: {printed}{said}", place.engine());
        }
        assert_eq!(place.count("audit_events", "kind = 'CLIENT_CREATED' AND subject LIKE 'c%'").await, 41);
        assert_eq!(place.count("clients", "id LIKE 'c%'").await, 41);
        drop(server);
    }
}

#[tokio::test]
async fn a_changed_secret_is_rotated_once_and_an_old_file_does_not_bring_it_back() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let file = write_example(dir.path());
        let server = Server::on(&place, &["--apply", file.to_str().unwrap()]);
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        for (folder, secret) in [(&old, SECRET), (&new, OTHER_SECRET)] {
            let path = write_example(folder);
            fs::write(path.with_file_name("secrets").join("shop-worker"), secret).unwrap();
        }
        let (_, printed, said) = apply(&place, &new.join("chancery.toml"), &[]);
        assert!(
            printed.contains("~ client shop-worker: secret: changed (from secrets/shop-worker; "),
            "{printed}{said}"
        );
        assert!(!format!("{printed}{said}").contains(OTHER_SECRET));
        let rotations = || place.count("audit_events", "kind = 'CLIENT_SECRET_ROTATED'");
        // Both count for a while, whichever file a process has, and whoever comes last.
        for folder in [&old, &new, &old] {
            let (code, printed, said) = apply(&place, &folder.join("chancery.toml"), &[]);
            assert_eq!((code, printed.as_str()), (Some(0), "nothing differs\n"), "{said}");
            assert_eq!(said.contains("a secret that it had before"), folder == &old, "{said}");
            for secret in [SECRET, OTHER_SECRET] {
                soon(async || token(server.channel().await, "shop-worker", secret).await).await;
            }
        }
        assert_eq!(rotations().await, 1);
        // By hand, twice: the file's is not brought back either.
        place.command(&["client", "rotate-secret", "shop-worker"], "");
        place.command(&["client", "rotate-secret", "shop-worker", "--overlap", "0"], "");
        for folder in [&old, &new] {
            let (_, printed, said) = apply(&place, &folder.join("chancery.toml"), &[]);
            assert!(printed == "nothing differs\n" && said.contains("a secret that it had before"), "{printed}{said}");
        }
        assert_eq!(rotations().await, 3);
        soon(async || token(server.channel().await, "shop-worker", OTHER_SECRET).await.err().ok_or(())).await;
    }
}

#[tokio::test]
async fn what_a_file_named_and_names_no_more_is_pruned_on_request_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let file = write_example(dir.path());
        let server = Server::on(&place, &["--apply", file.to_str().unwrap()]);
        place.command(&["client", "create", "by-hand", "--audience", "api"], "");
        let text = fs::read_to_string(&file).unwrap();
        let short = dir.path().join("short.toml");
        fs::write(&short, "[settings]\n").unwrap();
        let (code, printed, said) = apply(&place, &short, &[]);
        assert_eq!((code, printed.as_str()), (Some(0), "nothing differs\n"));
        assert!(said.contains("client shop is in the file no more; --prune disables it"), "{said}");
        // Somebody still has the role.
        place.command(&["role", "assign", "clerk", "grace"], "");
        let (code, printed, said) = apply(&place, &short, &["--prune"]);
        assert_eq!(code, Some(1), "{printed}");
        assert!(
            said.contains("role clerk: a user has the role; take it away first") && said.contains("goes on from there"),
            "{said}"
        );
        place.command(&["role", "unassign", "clerk", "grace"], "");
        let (code, printed, _) = apply(&place, &short, &["--prune"]);
        assert_eq!(
            (code, printed.lines().next().unwrap()),
            (Some(0), "- role clerk: is deleted: the file names it no more")
        );
        assert_eq!(apply(&place, &short, &["--prune"]).1, "nothing differs\n");
        let disabled = place.texts("SELECT id FROM clients WHERE disabled_at IS NOT NULL ORDER BY id").await;
        assert_eq!(disabled, ["shop", "shop-worker"], "{}", place.engine());
        assert_eq!(place.count("users", "deleted_at IS NULL AND disabled_at IS NULL").await, 1);
        let refused = async || log_in_as(server.channel().await, "shop", "grace", PASSWORD).await.err().ok_or(());
        soon(refused).await;
        fs::write(&file, text).unwrap();
        let (code, printed, said) = apply(&place, &file, &[]);
        assert_eq!(code, Some(0), "{said}");
        assert!(printed.contains("~ client shop: disabled: true → false\n"), "{printed}");
        soon(async || log_in_as(server.channel().await, "shop", "grace", PASSWORD).await).await;
        assert_eq!(apply(&place, &file, &["--dry-run"]).0, Some(0));
    }
}

/// Every field that a client can have, and whatever else there is.
const EVERYTHING: &str = r##"
[settings]
refresh_grace = "20s"
sessions_per_user = 50

[[audience]]
name = "nobodys"

[[role]]
name = "clerk"
description = "Reads \"orders\""
permissions = ["orders.read@shop-api", "users.read"]
require_mfa = true

[[role]]
name = "administrator"
require_mfa = true

[[client]]
client_id = "shop"
public = true
first_party = true
display_name = "The Shop"
grants = ["direct_login", "refresh_token", "guest"]
audiences = ["shop-api", "$issuer"]
scopes = ["orders.write", "orders.read"]
algorithm = "ES256"
token_lifetime = "10m"
session_idle = "12h"
session_absolute = "20d"
registration = true
require_email = true
require_mfa = true
link_template = "https://shop.example/{kind}?token={token}"
site = "https://shop.example/auth"
site_home = "/welcome"
logo_uri = "/logo.svg"
accent_color = "#123456"
cors_origins = ["https://b.example", "https://a.example"]
browser_tokens = true
claims = { team = "team", tier = '"gold"' }
guest_data = { cart = "return_both" }

[[client]]
client_id = "worker"
audiences = ["shop-api"]
serves = ["shop-api", "more"]
permissions = ["revocations.read", "orders.write@stock"]
roles = ["clerk"]
disabled = true

[[client]]
client_id = "partner"
public = true
grants = ["guest"]

[[client]]
client_id = "desk"
first_party = true
trusted_end_user = true

[[client]]
client_id = "chancery-account"
registration = true
display_name = "You"
"##;

#[tokio::test]
async fn an_export_applied_where_it_comes_from_changes_nothing_and_elsewhere_everything() {
    let dir = tempfile::tempdir().unwrap();
    for (number, place) in Place::each(&dir).await.into_iter().enumerate() {
        let file = dir.path().join("everything.toml");
        fs::write(&file, EVERYTHING).unwrap();
        let server = Server::on(&place, &[]);
        let (code, printed, said) = apply(&place, &file, &[]);
        assert_eq!(code, Some(0), "{printed}{said}");
        assert_eq!(apply(&place, &file, &["--dry-run"]).1, "nothing differs\n");
        let exported = place.command(&["export"], "");
        let out = dir.path().join(format!("exported-{number}.toml"));
        place.command(&["export", "--out", out.to_str().unwrap()], "");
        assert_eq!(fs::read_to_string(&out).unwrap(), exported);
        let before = rows(&place).await;
        let (code, printed, said) = apply(&place, &out, &[]);
        assert_eq!((code, printed.as_str()), (Some(0), "nothing differs\n"), "{said}\n{exported}");
        let without_notes =
            |rows: Vec<String>| rows.into_iter().filter(|row| !row.starts_with("client ")).collect::<Vec<_>>();
        assert_eq!(without_notes(rows(&place).await), without_notes(before));
        assert_eq!(place.command(&["export"], ""), exported);
        // At another issuer, it makes the same.
        let other = Place::sqlite(&dir.path().join(format!("other-{number}")));
        let elsewhere = Server::on(&other, &["--apply", out.to_str().unwrap()]);
        assert_eq!(other.command(&["export"], ""), exported);
        assert_ne!(elsewhere.issuer, server.issuer);
    }
}

#[tokio::test]
async fn a_bad_file_is_refused_with_every_problem_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text = "[[client]]\nclient_id = \"-\"\nsecret_file = \"missing\"\n\n[[client]]\nclient_id = \"x\"\ntpyo = 1\n";
    fs::write(dir.join("bad.toml"), text).unwrap();
    fs::write(dir.join("wrong.toml"), "[[client]]\nclient_id = \"-\"\ngrants = [\"magic\"]\n").unwrap();
    for line in [
        "serve --data-dir data --apply bad.toml",
        "config check --data-dir data --apply bad.toml",
        "apply bad.toml --data-dir data",
    ] {
        let says = [
            "bad.toml, line 3: client -: missing: No such file",
            "bad.toml, line 7: tpyo: is nothing that a client has",
        ];
        Refused { line, says: &says, ..Refused::default() }.check(dir).await;
    }
    for line in ["serve --data-dir data --apply wrong.toml", "config check --data-dir data --apply wrong.toml"] {
        let says =
            ["wrong.toml, line 2: client -: client_id: ", "wrong.toml, line 3: client -: grants: \"magic\" must be"];
        Refused { line, says: &says, ..Refused::default() }.check(dir).await;
    }
    assert!(!dir.join("data").exists());
    let line = "apply missing.toml --data-dir data";
    Refused { line, says: &["cannot read missing.toml: No such file"], ..Refused::default() }.check(dir).await;
}

#[tokio::test]
async fn a_file_may_be_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    let _server = Server::on(&place, &[]);
    let text = b"[[client]]\nclient_id = \"worker\"\n";
    let out = run(command(&["apply", "/dev/stdin"]).args(place.flags()), text);
    let (printed, said) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
    assert!(out.status.success() && printed.starts_with("+ client worker\n"), "{printed}{said}");
    assert!(said.contains("client worker gets a secret that nobody knows"), "{said}");
}
