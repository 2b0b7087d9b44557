//! What operators see of an upgrade: the page, the check, and a migration that is killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
};

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    place::Place,
    server::{command, run},
};

const PAGE: &str = include_str!("../../docs/upgrading.md");
const OLD: i64 = 12;

/// A database at schema 12, as a server of that time has left it.
async fn at_schema_12(place: &Place) {
    let dump = format!("tests/fixtures/schema/00{OLD}-{}.sql", place.engine());
    let dump = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(dump)).unwrap();
    fs::create_dir_all(&place.dir).unwrap();
    if place.database.is_none() {
        fs::write(database(place), "").unwrap();
    }
    execute(place, &dump).await;
}

/// The SQLite file.
fn database(place: &Place) -> PathBuf {
    place.dir.join("chancery.db")
}

/// Runs statements that bypass the program.
async fn execute(place: &Place, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    if let Some(url) = &place.database {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        return;
    }
    let options = SqliteConnectOptions::new().filename(database(place));
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn output(place: &Place, words: &[&str]) -> Output {
    run(command(words).args(place.flags()), b"")
}

fn check(place: &Place) -> (bool, serde_json::Value) {
    let out = output(place, &["migrate", "--check", "--json"]);
    (out.status.success(), serde_json::from_slice(&out.stdout).unwrap())
}

fn file_names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_check_says_what_would_happen_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        at_schema_12(&place).await;
        let before = place.contents().await;
        let (current, said) = check(&place);
        assert!(!current, "{said}");
        assert_eq!((&said["schema"], &said["min_binary"], &said["runs_beside"]), (&12.into(), &1.into(), &true.into()));
        let first = &said["migrations"][0];
        assert_eq!((&first["version"], &first["tables"][0]["table"]), (&13.into(), &"sessions".into()), "{said}");
        assert_eq!(first["tables"][0]["rows"], 2, "{said}");
        let on_sqlite = place.database.is_none();
        assert_eq!((said["rehearsed_ms"].is_i64(), said["estimated_ms"].is_i64()), (on_sqlite, !on_sqlite), "{said}");
        assert_eq!(said["copied_bytes"].is_i64(), on_sqlite, "{said}");
        if on_sqlite {
            // The log is the test's own: it has looked into the database.
            let own = ["chancery.db", "chancery.db-shm", "chancery.db-wal", "chancery.lock"];
            let names = file_names(&place.dir);
            assert!(names.iter().all(|name| own.contains(&name.as_str())), "{names:?}");
            assert_eq!(place.count("_sqlx_migrations", "version > 12").await, 0);
        } else {
            assert_eq!(place.contents().await, before);
        }
        let text = String::from_utf8(output(&place, &["migrate", "--check"]).stdout).unwrap();
        assert!(text.contains("13 browser sessions: ") && text.contains("    sessions (rows: 2)"), "{text}");
        place.command(&["migrate"], "");
        let (current, said) = check(&place);
        assert!(current && said["current"] == true, "{said}");
    }
}

#[tokio::test]
async fn the_page_shows_what_is_printed_and_its_commands_run() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = |kind: &str| -> Vec<String> {
        let opening = format!("\n```{kind}\n");
        let blocks = PAGE.split(&*opening).skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
        blocks.flat_map(str::lines).map(str::to_owned).collect()
    };
    for place in Place::each(&dir).await {
        at_schema_12(&place).await;
        let commands = blocks("sh");
        assert_eq!(commands.len(), 3, "{commands:?}");
        for (n, line) in commands.iter().enumerate() {
            let words: Vec<_> = line.split(' ').skip(1).collect();
            let out = output(&place, &words);
            let said = String::from_utf8(out.stdout).unwrap();
            // The first look finds something missing.
            assert_eq!(out.status.success(), n > 0, "{line}: {said}");
            if n == 0 && place.database.is_some() {
                assert_eq!(said.lines().collect::<Vec<_>>(), blocks("text"), "docs/upgrading.md; printed:\n{said}");
            }
        }
    }
}

/// `chancery migrate`, under way.
fn begin(place: &Place) -> Child {
    let mut migrate = command(&["migrate"]);
    migrate.args(place.flags()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_migration_of_postgresql_that_is_killed_half_way_changes_nothing() {
    const WAITS: &str = "SELECT CAST(count(*) AS TEXT) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
        JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database() AND c.relname = 'roles' AND NOT l.granted";
    if std::env::var("CHTEST_ENGINES").as_deref() == Ok("sqlite") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::postgres(&dir.path().join("data")).await;
    at_schema_12(&place).await;
    // Migration 15 needs this table: 13 and 14 are done when it waits.
    let mut holder = PgConnection::connect(place.database.as_ref().unwrap()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE roles IN ACCESS SHARE MODE").execute(&mut holder).await.unwrap();
    let mut child = begin(&place);
    while place.texts(WAITS).await != ["1"] {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        tokio::task::yield_now().await;
    }
    kill(child);
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    assert_eq!(place.count("_sqlx_migrations", "version > 12").await, 0);
    place.command(&["migrate"], "");
    assert!(check(&place).0);
    assert_eq!(place.count("sessions", "kind = 'token'").await, 2);
}

#[tokio::test]
async fn a_migration_of_sqlite_that_is_killed_half_way_changes_nothing() {
    const MANY: &str = "INSERT INTO sessions SELECT 'ses_' || printf('%026d', n), user_id, subject, client_id, generation, secret_hash, \
        rotated_at, previous_rotated_at, rotation_request_id, auth_time, amr, acr, scopes, audiences, roles, claims, created_at, \
        idle_ttl, idle_expires_at, absolute_expires_at, revoked_at, revoked_cause, device_label, user_agent, address, \
        status_list, status_index FROM (SELECT * FROM sessions ORDER BY id LIMIT 1), (WITH RECURSIVE counted(n) AS \
        (SELECT 1 UNION ALL SELECT n + 1 FROM counted LIMIT 50000) SELECT n FROM counted)";
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    at_schema_12(&place).await;
    execute(&place, MANY).await;
    let mut child = begin(&place);
    // Migration 13 writes all sessions anew; what does not fit into memory goes to the log.
    let log = place.dir.join("chancery.db-wal");
    while fs::metadata(&log).map_or(0, |m| m.len()) < 1 << 20 {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        tokio::task::yield_now().await;
    }
    kill(child);
    let (current, said) = check(&place);
    assert!(!current && said["schema"] == OLD, "{said}");
    assert_eq!(said["migrations"][0]["tables"][0]["rows"], 50_002, "{said}");
    place.command(&["migrate"], "");
    assert!(check(&place).0);
    assert_eq!(place.count("sessions", "kind = 'token'").await, 50_002);
}
