//! The command line does what the administrators' API does, in terms of what was typed.

use std::{path::Path, process::Output};

use chancery::grpc::pb::{LoginRequest, auth_service_client::AuthServiceClient, login_response};
use serde_json::Value;

use crate::{
    calls::{PASSWORD, log_in, log_in_as, start},
    place::Place,
    refused::Refused,
    server::{Server, command, run},
};

async fn refused(dir: &Path, line: &str, code: i32, says: &[&str], hides: &[&str]) {
    let line = &format!("{line} --data-dir data");
    Refused { line, code, says, hides, ..Refused::default() }.check(dir).await;
}

fn json(server: &Server, args: &[&str]) -> Value {
    serde_json::from_str(&server.command(args, "")).unwrap()
}

fn started() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&Place::sqlite(&dir.path().join("data")));
    (dir, server)
}

#[tokio::test]
async fn a_client_is_changed_and_deleted_by_commands() {
    let (dir, server) = started();
    let mut update = vec!["client", "update", "app", "--audience", "api", "--audience", "more", "--no-scopes"];
    update.extend([
        "--token-lifetime",
        "10m",
        "--session-idle",
        "12h",
        "--session-absolute",
        "30d",
        "--claim",
        "team=team",
    ]);
    update.extend([
        "--registration",
        "--require-email",
        "--link-template",
        "https://shop.example/{kind}?token={token}",
    ]);
    assert_eq!(server.command(&update, ""), "changed app\n");
    let client = json(&server, &["client", "show", "app", "--json"]);
    assert_eq!(client["audiences"], serde_json::json!(["api", "more"]));
    let lifetimes = ["token_lifetime", "session_idle", "session_absolute"].map(|name| client[name].as_str().unwrap());
    assert_eq!(lifetimes, ["600s", "43200s", "2592000s"]);
    assert_eq!((&client["scopes"], &client["claims"]["team"]), (&serde_json::json!([]), &"team".into()));
    assert_eq!((&client["registration"], &client["require_email"]), (&true.into(), &true.into()));
    let back = ["client", "update", "app", "--registration=false", "--no-claims", "--link-template", "", "--json"];
    let client = json(&server, &back);
    assert_eq!((&client["registration"], &client["require_email"]), (&false.into(), &true.into()));
    assert_eq!((client.get("link_template"), &client["claims"]), (None, &serde_json::json!({})));
    for (line, origins) in [
        (
            "--cors-origin https://a.example --cors-origin http://localhost:5173",
            &["https://a.example", "http://localhost:5173"][..],
        ),
        ("--cors-origin https://b.example", &["https://b.example"]),
        ("--no-cors-origins", &[]),
    ] {
        let update: Vec<_> = "client update app --json".split(' ').chain(line.split(' ')).collect();
        assert_eq!(json(&server, &update)["cors_origins"], serde_json::json!(origins), "{line}");
    }
    for (line, code, says) in [
        ("client update app", 2, &["nothing to change"][..]),
        ("client update app --token-lifetime 2d", 1, &["--token-lifetime: must be 1 to 3600 seconds"]),
        ("client update app --session-idle 1m", 1, &["--session-idle: ", "600 s"]),
        ("client update app --session-absolute soon", 2, &["--session-absolute", "5m, 12h or 30d"]),
        ("client update app --scope a --no-scopes", 2, &["--scope", "--no-scopes"]),
        ("client update app --cors-origin https://a.example --no-cors-origins", 2, &["--no-cors-origins"]),
        ("client update app --cors-origin null", 1, &["--cors-origin: ", "such as https://app.example"]),
        ("client update app --browser-tokens", 1, &["--browser-tokens: ", "a site"]),
        ("client update nobody --alg ES256", 1, &["no client nobody"]),
        ("client delete app", 1, &["must be disabled"]),
        ("client delete nobody", 1, &["no client nobody"]),
    ] {
        refused(dir.path(), line, code, says, &["token_lifetime", "session_idle"]).await;
    }
}

#[tokio::test]
async fn a_user_is_changed_and_deleted_and_the_sessions_are_ended_by_commands() {
    let (dir, server) = started();
    let update = ["user", "update", "grace", "--name", "gracie", "--email", "grace@example.org"];
    let more = ["--attributes", r#"{"team":"t1"}"#, "--json"];
    let user = json(&server, &[&update[..], &more].concat());
    assert_eq!(
        (&user["name"], &user["emails"][0], &user["attributes"]["team"]),
        (&"gracie".into(), &"grace@example.org".into(), &"t1".into())
    );
    let user = json(&server, &["user", "update", "gracie", "--no-email", "--json"]);
    assert_eq!(user["emails"], serde_json::json!([]));

    let one = log_in(server.channel().await, "gracie", PASSWORD).await.unwrap();
    log_in(server.channel().await, "gracie", PASSWORD).await.unwrap();
    let listed = server.command(&["user", "sessions", "gracie", "--json"], "");
    assert_eq!((listed.lines().count(), listed.contains(&one.session_id)), (2, true));
    let printed = server.command(&["session", "revoke", &one.session_id], "");
    let expires = one.access_token_expire_time.unwrap().to_string();
    let until = format!("accept their tokens until {}", expires.replace('Z', ".000Z"));
    assert!(printed.contains("has ended") && printed.contains(&until), "{printed} {until}");
    let printed = server.command(&["user", "revoke-sessions", "gracie"], "");
    assert!(printed.starts_with("1 sessions of gracie ended; services"), "{printed}");
    assert_eq!(server.command(&["user", "revoke-sessions", "gracie"], ""), "0 sessions of gracie ended\n");

    let reset = "user reset-password gracie --client app";
    refused(dir.path(), reset, 1, &["--client: ", "link template"], &[]).await;
    server.command(&["client", "update", "app", "--link-template", "https://shop.example/{kind}?token={token}"], "");
    refused(dir.path(), reset, 1, &["no email address"], &[]).await;
    server.command(&["user", "update", "gracie", "--email", "gracie@example.org"], "");
    let printed = server.command(&["user", "reset-password", "gracie", "--client", "app", "--keep-current"], "");
    assert!(printed.starts_with("gracie can choose a new password, and keeps the current one"), "{printed}");
    assert!(log_in(server.channel().await, "gracie", PASSWORD).await.is_ok());
    let printed = server.command(&["user", "reset-password", "gracie", "--client", "app"], "");
    assert!(
        printed.starts_with("gracie has to choose a new password; a mail is on its way; 1 sessions ended"),
        "{printed}"
    );
    assert!(log_in(server.channel().await, "gracie", PASSWORD).await.is_err());
    refused(dir.path(), "user reset-password gracie --client nobody", 1, &["no client nobody"], &[]).await;

    server.command(&["user", "set-password", "gracie", "--password-stdin"], PASSWORD);
    log_in(server.channel().await, "gracie", PASSWORD).await.unwrap();
    let printed = server.command(&["user", "disable", "gracie"], "");
    assert!(printed.starts_with("disabled gracie; 1 sessions ended; services that do not follow"), "{printed}");
    assert_eq!(server.command(&["user", "disable", "gracie"], ""), "gracie was already disabled\n");

    assert_eq!(server.command(&["user", "delete", "gracie"], ""), "deleted gracie; 0 sessions ended\n");
    let both = ["user", "create", "twin", "--password-stdin", "--email", "a@example.org", "--email", "b@example.org"];
    server.command(&both, PASSWORD);
    let emails = json(&server, &["user", "show", "twin", "--json"])["emails"].clone();
    assert_eq!(emails, serde_json::json!(["a@example.org", "b@example.org"]));
    for (line, code, says) in [
        ("user delete gracie", 1, &["no user gracie"][..]),
        ("user sessions gracie", 1, &["no user gracie"]),
        ("user update gracie", 2, &["nothing to change", "--email", "--no-email"]),
        ("user update gracie --email a@b.example --no-email", 2, &["--no-email"]),
    ] {
        refused(dir.path(), line, code, says, &[]).await;
    }
}

#[tokio::test]
async fn roles_of_clients_are_assigned_by_commands() {
    let (dir, server) = started();
    let role = json(&server, &["role", "create", "clerk", "--permission", "orders.read@api", "--json"]);
    assert_eq!((&role["name"], &role["permissions"][0]), (&"clerk".into(), &"orders.read@api".into()));
    server.command(&["client", "create", "worker", "--audience", "api"], "");
    assert_eq!(
        server.command(&["role", "assign", "clerk", "--client", "worker"], ""),
        "worker now has the role clerk\n"
    );
    assert_eq!(json(&server, &["client", "show", "worker", "--json"])["roles"][0], "clerk");
    server.command(&["role", "unassign", "clerk", "--client", "worker"], "");
    server.command(&["role", "assign", "clerk", "grace"], "");
    let role = json(&server, &["role", "update", "clerk", "--no-permissions", "--json"]);
    assert_eq!(role["permissions"], serde_json::json!([]));
    for (line, says) in [
        ("role assign clerk", &["--client"][..]),
        ("role assign clerk grace --client worker", &["--client"]),
        ("role update clerk", &["nothing to change", "--permission"]),
    ] {
        refused(dir.path(), line, 2, says, &[]).await;
    }
}

#[tokio::test]
async fn settings_are_listed_with_units_and_set_as_they_are_typed() {
    let (dir, server) = started();
    let listed = server.command(&["settings", "list"], "");
    for line in [
        "refresh_grace                  10s",
        "rotation_period                30d",
        "sessions_per_user              100",
    ] {
        assert!(listed.lines().any(|l| l.starts_with(line)), "{line}: {listed}");
    }
    for (name, value, printed, shown) in [
        ("refresh_grace", "5", "5s", "5s"),
        ("access_token_lifetime_ceiling", "5m", "5m", "300s"),
        ("rotation_period", "45d", "45d", "3888000s"),
        ("login_wait_most", "3600", "3600s", "3600s"),
        ("login_wait_most", "007m", "7m", "420s"),
        ("refresh_grace", "00", "0s", "0s"),
        ("refresh_grace", "00m", "0m", "0s"),
        ("refresh_grace", "5", "5s", "5s"),
    ] {
        assert_eq!(server.command(&["settings", "set", name, value], ""), format!("{name} is now {printed}\n"));
        assert_eq!(json(&server, &["settings", "show", name, "--json"])["value"], shown);
    }
    for (value, printed) in [("+7", "7"), ("007", "7"), ("100", "100")] {
        let line = format!("sessions_per_user is now {printed}\n");
        assert_eq!(server.command(&["settings", "set", "sessions_per_user", value], ""), line);
    }
    let setting = json(&server, &["settings", "set", "rsa_bits", "3072", "--json"]);
    assert_eq!(
        (&setting["value"], &setting["minimum"], &setting["maximum"]),
        (&3072.into(), &2048.into(), &4096.into())
    );
    let show = server.command(&["settings", "show", "refresh_grace"], "");
    assert!(show.starts_with("refresh_grace is 5s (default 10s, range 0s to 1m): "), "{show}");
    assert_eq!(server.command(&["settings", "list", "--json"], "").lines().count(), listed.lines().count() - 1);
    for (line, says) in [
        ("settings set refresh_grace 2m", &["<VALUE>: must be 0s to 1m"][..]),
        ("settings set refresh_grace 5000ms", &["<VALUE>: must be 0s to 1m"]),
        ("settings set sessions_per_user 5m", &["<VALUE>: must be 1 to 1000"]),
        ("settings set rsa_bits 3000", &["<VALUE>: must be 2048 to 4096 in steps of 1024"]),
        ("settings set nonsense 5", &["<NAME>: must be one of", "refresh_grace"]),
        ("settings show nonsense", &["<NAME>: must be one of", "refresh_grace"]),
    ] {
        refused(dir.path(), line, 1, says, &[]).await;
    }
}

#[tokio::test]
async fn a_flag_that_does_nothing_without_another_is_refused_with_both_names() {
    let (dir, _server) = started();
    let create = |flag: &str| format!("client create x {flag}");
    for (flag, name) in [
        ("--registration", "--registration"),
        ("--require-email", "--require-email"),
        ("--trusted-end-user", "--trusted-end-user"),
        ("--link-template https://shop.example/?token={token}", "--link-template"),
        ("--claim team=team", "--claim"),
        ("--session-idle 1d", "--session-idle"),
        ("--session-absolute 1d", "--session-absolute"),
        ("--grant refresh_token", "--grant refresh_token"),
        ("--display-name Shop", "--display-name"),
    ] {
        refused(dir.path(), &create(flag), 2, &[&format!("{name} does nothing without --first-party")], &[]).await;
        let other = create(&format!("--first-party --grant client_credentials {flag}"));
        refused(dir.path(), &other, 2, &[&format!("{name} does nothing without --grant direct_login")], &[]).await;
    }
    run(command(&["client", "create", "worker", "--data-dir", "data"]).current_dir(dir.path()), b"");
    for (flag, name) in [("--grant refresh_token", "--grant refresh_token"), ("--display-name Shop", "--display-name")]
    {
        let says = format!("{name} does nothing without --grant direct_login");
        let usage = "Usage: chancery client update [OPTIONS] <ID>";
        refused(dir.path(), &format!("client update worker {flag}"), 2, &[&says, usage], &[]).await;
    }
    let update = "client update worker --session-idle 1d";
    refused(dir.path(), update, 2, &["--session-idle does nothing without --grant direct_login"], &[]).await;
    for flag in ["--client-id x", "--client-secret-file x"] {
        let line = format!("guard --issuer https://id.example --audience api {flag}");
        let says = format!("{} does nothing without --watch", flag.split(' ').next().unwrap());
        Refused { line: &line, code: 2, says: &[&says], ..Refused::default() }.check(dir.path()).await;
    }
}

/// Runs `token verify` on a token.
fn verify(server: &Server, token: &str, audience: &str) -> (Option<i32>, String) {
    let args = [&["token", "verify", "--audience", audience][..]].concat();
    let mut command = command(&args);
    command.args(server.place.flags());
    let Output { status, stdout, stderr } = run(&mut command, token.as_bytes());
    (status.code(), [stdout, stderr].map(|text| String::from_utf8(text).unwrap()).concat())
}

#[tokio::test]
async fn token_verify_knows_every_reason_why_a_token_is_not_good() {
    let (_dir, server) = started();
    let pair = log_in(server.channel().await, "grace", PASSWORD).await.unwrap();
    let good = verify(&server, &format!("{}\n", pair.access_token), "api");
    assert!(good.0 == Some(0) && good.1.contains(&pair.session_id), "{good:?}");
    let assert_bad = |token: &str, audience: &str, why: &str| {
        let (code, text) = verify(&server, token, audience);
        assert!(
            code == Some(1) && text.starts_with("chancery: the token is not good: ") && text.contains(why),
            "{why}: {text}"
        );
    };
    assert_bad("nonsense", "api", "malformed");
    assert_bad("", "api", "malformed");
    assert_bad(&pair.access_token, "other", "audience");
    let other = {
        let (dir, other) = started();
        (log_in(other.channel().await, "grace", PASSWORD).await.unwrap(), dir)
    };
    assert_bad(&other.0.access_token, "api", "unknown key");
    server.command(&["client", "disable", "app"], "");
    assert_bad(&pair.access_token, "api", "its client app is disabled");
    server.command(&["client", "enable", "app"], "");
    assert_eq!(verify(&server, &pair.access_token, "api").0, Some(0));
    server.command(&["session", "revoke", &pair.session_id], "");
    assert_bad(&pair.access_token, "api", &format!("its session {} was ended", pair.session_id));
    let pair = log_in(server.channel().await, "grace", PASSWORD).await.unwrap();
    server.command(&["user", "disable", "grace"], "");
    assert_bad(&pair.access_token, "api", "is disabled");
    server.command(&["user", "enable", "grace"], "");
    let brief = ["--public", "--first-party", "--audience", "api", "--alg", "ES256", "--token-lifetime", "1"];
    server.command(&[&["client", "create", "brief"], &brief[..]].concat(), "");
    let pair = log_in_as(server.channel().await, "brief", "grace", PASSWORD).await.unwrap();
    // The check allows for clocks that differ, so a token with an end far back is needed: its key is revoked instead.
    let listed = server.command(&["keys", "list", "--json"], "");
    let keys: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let active = |k: &&Value| k["algorithm"] == "SIGNATURE_ALGORITHM_ES256" && k["state"] == "SIGNING_KEY_STATE_ACTIVE";
    let kid = keys.iter().find(active).unwrap()["kid"].as_str().unwrap();
    server.command(&["keys", "revoke", kid], "");
    assert_bad(&pair.access_token, "api", "its signing key was revoked");
    let usage = run(command(&["token", "verify"]).args(server.place.flags()), b"");
    assert_eq!(usage.status.code(), Some(2));
}

/// The README's back end, as a test in Rust: it signs users in, says who they are, and calls their accounts.
#[tokio::test]
async fn a_trusted_back_end_signs_users_in_with_their_addresses() {
    let (_dir, server) = started();
    let flags =
        ["--first-party", "--trusted-end-user", "--audience", "shop-api", "--audience", &server.issuer, "--json"];
    let more =
        ["--grant", "direct_login", "--grant", "refresh_token", "--session-idle", "7d", "--session-absolute", "90d"];
    let made = json(&server, &[&["client", "create", "shop-web"], &flags[..], &more].concat());
    let mut request = tonic::Request::new(LoginRequest {
        login: "grace".into(),
        password: PASSWORD.into(),
        end_user: Some(chancery::grpc::pb::EndUser { address: "203.0.113.7".into(), user_agent: "curl".into() }),
        ..LoginRequest::default()
    });
    let basic = {
        use base64::{Engine, engine::general_purpose::STANDARD};
        format!("Basic {}", STANDARD.encode(format!("shop-web:{}", made["client_secret"].as_str().unwrap())))
    };
    request.metadata_mut().insert("authorization", basic.parse().unwrap());
    let answer = AuthServiceClient::new(server.channel().await).login(request).await.unwrap().into_inner();
    assert!(matches!(answer.result, Some(login_response::Result::Tokens(_))));
    let session = json(&server, &["user", "sessions", "grace", "--json"]);
    assert_eq!((&session["address"], &session["user_agent"]), (&"203.0.113.7".into(), &"curl".into()));
}
