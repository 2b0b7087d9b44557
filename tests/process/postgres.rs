//! What operators see of the connection to PostgreSQL.

use std::fs;

use chancery::entropy::{Entropy, OsEntropy};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    calls::{CLIENT, PASSWORD, log_in, refresh},
    place::{Place, postgres_url},
    refused::Refused,
    server::{Server, command, run},
};

fn without_postgres() -> bool {
    std::env::var("CHTEST_ENGINES").as_deref() == Ok("sqlite")
}

async fn in_cluster(statement: &str) {
    let mut connection = PgConnection::connect(&postgres_url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
}

fn random_name() -> String {
    format!("p{}", OsEntropy.bytes16().iter().map(|b| format!("{b:02x}")).collect::<String>())
}

#[tokio::test]
async fn every_command_refuses_a_database_that_is_not_utf8_and_says_how_to_make_one() {
    if without_postgres() {
        return;
    }
    let (dir, name) = (tempfile::tempdir().unwrap(), random_name());
    let words = "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'";
    in_cluster(&format!("CREATE DATABASE {name} {words}")).await;
    let (base, _) = postgres_url().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    for line in [
        "serve --create-sealing-key --grpc 127.0.0.1:0 --http 127.0.0.1:0 --telemetry 127.0.0.1:0",
        "migrate",
        "migrate --check",
        "user list",
        "keys rotate",
    ] {
        let line = format!("{line} --data-dir data --database {base}/{name}");
        let says = ["its encoding is SQL_ASCII", "CREATE DATABASE chancery ENCODING 'UTF8'"];
        Refused { line: &line, says: &says, ..Refused::default() }.check(dir.path()).await;
    }
    in_cluster(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

#[tokio::test]
async fn what_protects_the_connection_and_how_many_there_may_be_is_said_at_the_start() {
    if without_postgres() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::postgres(&dir.path().join("data")).await;
    let server = Server::on(&place, &["--database-connections", "5"]);
    let log = fs::read_to_string(&server.log).unwrap();
    let line = log.lines().find(|line| line.contains("connected to PostgreSQL")).unwrap_or_else(|| panic!("{log}"));
    for word in ["connections=5", "pooled=false", "tls=stays on this machine", "url=postgres://127.0.0.1:"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(!log.contains("verify-full"), "{log}");
}

#[test]
fn config_show_says_what_of_the_database_is_checked_and_shows_nothing_after_the_question_mark() {
    for (url, tls) in [
        ("postgres://ada:canary@db.example/id", "encrypted if the server offers it; its certificate is not checked"),
        (
            "postgres://ada@db.example/id?sslmode=require&password=x@canary",
            "encrypted; the server's certificate is not checked",
        ),
        ("postgres://ada@db.example/id?sslmode=disable&options=-c%20a%3Dcanary", "not encrypted"),
        (
            "postgres://ada@db.example/id?sslmode=verify-full&sslpassword=canary",
            "encrypted; the server's certificate is checked",
        ),
    ] {
        let out = run(&mut command(&["config", "show", "--database", url]), b"");
        let shown = String::from_utf8(out.stdout).unwrap();
        assert!(shown.contains(&format!("\"database_tls\": \"{tls}\"")), "{shown}");
        assert!(shown.contains("\"database\": \"postgres://db.example/id\""), "{shown}");
        assert!(!shown.contains("canary") && !String::from_utf8(out.stderr).unwrap().contains("canary"), "{shown}");
    }
}

#[tokio::test]
async fn no_log_and_no_error_shows_a_password_in_the_url_of_the_database() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens on port 1.
    let server = "postgres://ada:canary@127.0.0.1:1/id?sslmode=disable&sslpassword=canary&connect_timeout=1&application_name=canary";
    let missing = "postgres://ada:canary@127.0.0.1:1/id?sslmode=verify-full&sslkey=canary&sslcert=canary";
    for (url, says) in [
        (server, "Connection refused"),
        (missing, "the file that sslcert in its URL names cannot be read"),
        ("postgres://ada:canary@127.0.0.1/id?canary=1", "parameter 1 after the `?`"),
        ("postgres://ada:ca?nary@127.0.0.1/id", "%3F"),
        ("postgres://127.0.0.1/id?sslrootcert=canary", "sslmode=verify-full"),
    ] {
        for line in [
            "serve --create-sealing-key --log trace --grpc 127.0.0.1:0 --http 127.0.0.1:0 --telemetry 127.0.0.1:0",
            "migrate",
            "config check --create-sealing-key",
        ] {
            if line.starts_with("config check") && url == server {
                continue;
            }
            let variables = [("CHANCERY_DATABASE", url), ("RUST_BACKTRACE", "1")];
            let mut command = command(&line.split(' ').collect::<Vec<_>>());
            let out = run(command.envs(variables).current_dir(dir.path()), b"");
            let all = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
            assert!(!out.status.success() && all.contains(says), "{line}: {all}");
            assert!(!all.contains("canary") && !all.contains("nary@"), "{line}: {all}");
            assert!(!all.contains("at line"), "{line}: {all}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_role_has_three_connections_serves_and_leaves_one_to_commands() {
    if without_postgres() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::postgres(&dir.path().join("data")).await;
    let url = place.database.clone().unwrap();
    let ((_, rest), role) = (url.split_once('@').unwrap(), random_name());
    let name = rest.split_once('/').unwrap().1;
    in_cluster(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 3")).await;
    in_cluster(&format!("ALTER DATABASE {name} OWNER TO {role}")).await;
    let place = Place { database: Some(format!("postgres://{role}@{rest}")), ..place };
    let server = Server::on(&place, &[]);
    let log = fs::read_to_string(&server.log).unwrap();
    assert!(log.contains("allowed=3 connections=2"), "{log}");
    server.command(&["user", "create", "grace", "--password-stdin"], PASSWORD);
    server
        .command(&["client", "create", CLIENT, "--public", "--first-party", "--audience", "api", "--alg", "ES256"], "");
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(log_in(server.channel().await, "grace", PASSWORD).await.unwrap().refresh_token);
    }
    for round in 0..6 {
        let channel = server.channel().await;
        let id = format!("r{round}");
        let calls = tokens.iter().map(|token| refresh(channel.clone(), token, &id));
        let answers = futures_util::future::join_all(calls).await;
        tokens =
            answers.into_iter().map(|pair| pair.unwrap_or_else(|e| panic!("{round}: {e:?}")).refresh_token).collect();
    }
    assert!(server.command(&["session", "list", "grace"], "").lines().count() >= 4);
    drop(server);
    in_cluster(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
    in_cluster(&format!("DROP ROLE {role}")).await;
}
