//! Databases in which another program has tables of its own.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    place::Place,
    refused::Refused,
    server::{FREE_PORTS, Server, command, run},
};

async fn refused(dir: &Path, line: &str, says: &[&str]) {
    Refused { line, says, ..Refused::default() }.check(dir).await;
}

#[tokio::test]
async fn a_file_of_another_program_is_named_as_such_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let file = dir.join("shop.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut shop = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("CREATE TABLE orders (id INTEGER); CREATE TABLE users (id INTEGER)")
        .execute(&mut shop)
        .await
        .unwrap();
    shop.close().await.unwrap();
    let (before, names) = (fs::read(&file).unwrap(), beside(dir));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(dir.join("a.key"), [9; 32]).unwrap();
    let at = "--database sqlite:shop.db --sealing-key-file a.key";
    let says = ["cannot open the database shop.db", "another program (such as orders, users)", "name another file"];
    for line in [format!("serve {} {at}", FREE_PORTS.join(" ")), format!("migrate {at}"), format!("user list {at}")] {
        refused(dir, &line, &says).await;
        // Its program reads it, in the way that it has chosen.
        assert!(fs::read(&file).unwrap() == before, "{line}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644, "{line}");
        assert_eq!(beside(dir), names, "{line}");
    }
}

/// The files that begin with the name of the database, but for the empty one by which servers know of each other.
fn beside(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("shop.db") && !name.ends_with(".serving")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn tables_of_our_names_are_another_programs_and_other_tables_are_no_obstacle() {
    if std::env::var("CHTEST_ENGINES").as_deref() == Ok("sqlite") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::postgres(&dir.path().join("data")).await;
    let at = format!("--data-dir data --database {}", place.database.as_ref().unwrap());
    place.texts("CREATE TABLE users (id INTEGER)").await;
    place.texts("CREATE TABLE orders (id INTEGER)").await;
    let said = "another program (such as orders, users)";
    refused(dir.path(), &format!("user list {at}"), &[said, "is it the right one?"]).await;
    let names = ["relation \"users\" already exists", "CREATE DATABASE chancery", "CREATE SCHEMA chancery"];
    refused(dir.path(), &format!("migrate {at}"), &names).await;
    assert_eq!(place.texts("SELECT CAST(relname AS TEXT) FROM pg_class WHERE relname = 'instance'").await, [""; 0]);
    let (file, key) = (dir.path().join("empty.toml"), dir.path().join("a.key"));
    fs::write(&file, "").unwrap();
    fs::write(&key, [9; 32]).unwrap();
    let dry = format!(
        "apply {} --dry-run --issuer http://127.0.0.1:8099 --sealing-key-file {} {at}",
        file.display(),
        key.display()
    );
    refused(dir.path(), &dry, &["the database would not be set up: relation \"users\" already exists"]).await;
    place.texts("DROP TABLE users").await;
    let words: Vec<_> = dry.split(' ').collect();
    let tried = run(command(&words).current_dir(dir.path()), b"");
    assert!(tried.status.code() != Some(1), "{}", String::from_utf8_lossy(&tried.stderr));
    let tables =
        "SELECT CAST(relname AS TEXT) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    assert_eq!(place.texts(tables).await, ["orders"], "what was tried was taken back");
    let server = Server::on(&place, &[]);
    assert_eq!(place.count("orders", "true").await, 0);
    drop(server);
    place.command(&["user", "list"], "");
}

#[tokio::test]
async fn another_program_of_the_same_library_keeps_its_list_of_migrations() {
    if std::env::var("CHTEST_ENGINES").as_deref() == Ok("sqlite") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::postgres(&dir.path().join("data")).await;
    let url = place.database.clone().unwrap();
    let columns = "version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), \
        success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL";
    place.texts(&format!("CREATE TABLE _sqlx_migrations ({columns})")).await;
    place.texts("INSERT INTO _sqlx_migrations VALUES (20230101, 'theirs', now(), true, 'x', 1)").await;
    for command in ["migrate", "migrate --check"] {
        let line = format!("{command} --data-dir data --database {url}");
        refused(dir.path(), &line, &["another program keeps its migrations in _sqlx_migrations"]).await;
    }
    place.texts("CREATE SCHEMA id").await;
    let name = url.rsplit_once('/').unwrap().1;
    place.texts(&format!("ALTER DATABASE {name} SET search_path = id, public")).await;
    drop(Server::on(&place, &[]));
    assert_eq!(place.count("public._sqlx_migrations", "true").await, 1);
    assert!(place.count("id._sqlx_migrations", "success").await > 10);
    drop(Server::on(&place, &[]));
    assert_eq!(place.command(&["migrate"], "").matches("is up to date").count(), 1);
}
