//! Databases of PostgreSQL that were created or configured with others in mind.

use chancery::{
    error::Error,
    store::{Location, Store},
};
use sqlx::{Connection, PgConnection};

use crate::{
    audit,
    database::{Database, in_cluster, with_postgres},
    engine, feed,
    fixture::Fixture,
    import, refresh, roles, sessions, users,
};

/// Runs cases of the contract on a database that was created or configured in another way.
macro_rules! on_a_database {
    ($name:ident, $made:expr => $($module:ident::$case:ident),+ $(,)?) => {
        mod $name {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if !with_postgres() {
                    return;
                }
                let fixture = Fixture::on($made.await).await;
                $module::$case(&fixture).await;
                fixture.finish().await;
            })+
        }
    };
}

on_a_database! { of_a_german_collation, german() =>
    audit::events_are_read_by_page_and_filter,
    import::taken_names_are_found,
    refresh::outcomes_of_a_batch_are_in_the_order_of_its_requests,
    roles::a_role_is_stored_unchanged_beside_the_built_in_ones,
    sessions::a_walk_finds_dead_sessions_in_steps_and_only_those_are_deleted,
    users::pages_are_stable,
    users::users_are_listed_by_name_and_address,
    users::subjects_logins_and_lookalikes_are_unique,
}

on_a_database! { of_other_defaults, other_defaults() =>
    engine::a_read_transaction_refuses_changes,
    engine::a_read_transaction_sees_one_snapshot,
    engine::texts_and_instants_are_stored_unchanged,
    feed::numbers_follow_the_order_of_commits_without_gaps,
    feed::the_database_has_the_time_if_machines_share_it,
    import::concurrent_imports_of_the_same_users_succeed_once,
    refresh::concurrent_requests_rotate_once,
    sessions::a_session_is_stored_unchanged,
    users::concurrent_creations_with_one_name_create_one_user,
}

on_a_database! { of_another_schema, another_schema() =>
    engine::references_are_enforced,
    refresh::concurrent_requests_rotate_once,
    users::pages_are_stable,
}

async fn german() -> Database {
    Database::postgres_with(
        "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    .await
}

async fn configured(settings: &[&str]) -> Database {
    let database = Database::postgres().await;
    let name = database.name();
    for setting in settings {
        in_cluster(&format!("ALTER DATABASE {name} SET {setting}")).await;
    }
    database
}

async fn other_defaults() -> Database {
    configured(&[
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "statement_timeout = 200",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
        "timezone = 'Pacific/Auckland'",
        "datestyle = 'German'",
        "intervalstyle = 'iso_8601'",
        "standard_conforming_strings = off",
        "bytea_output = 'escape'",
        "client_encoding = 'LATIN1'",
        "extra_float_digits = -15",
        "transform_null_equals = on",
        "array_nulls = off",
        "quote_all_identifiers = on",
        "xmloption = 'document'",
        "check_function_bodies = off",
        "default_tablespace = 'pg_default'",
    ])
    .await
}

async fn another_schema() -> Database {
    let database = Database::postgres().await;
    database.sql("CREATE SCHEMA app").await.unwrap();
    let name = database.name();
    in_cluster(&format!("ALTER DATABASE {name} SET search_path = 'app'")).await;
    database
}

async fn opened(database: &Database) -> Result<Store, Error> {
    let entropy = std::sync::Arc::new(chancery::entropy::OsEntropy);
    Store::open(&database.location, false, entropy).await
}

async fn texts(database: &Database, sql: &'static str) -> Vec<String> {
    let Location::Postgres(url) = &database.location else { panic!() };
    let mut connection = PgConnection::connect(url.expose()).await.unwrap();
    sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
}

#[tokio::test]
async fn the_order_of_texts_does_not_depend_on_the_database() {
    if !with_postgres() {
        return;
    }
    let f = Fixture::on(german().await).await;
    let others = "SELECT CAST(c.relname || '.' || a.attname AS TEXT) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid \
        WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> '_sqlx_migrations' AND c.relkind = 'r' AND a.attnum > 0 \
        AND a.attcollation <> 0 AND a.attcollation <> '\"C\"'::regcollation";
    assert_eq!(texts(&f.database, others).await, Vec::<String>::new());
    f.finish().await;
}

#[tokio::test]
async fn a_database_in_which_not_every_name_can_be_stored_is_refused() {
    if !with_postgres() {
        return;
    }
    for encoding in ["SQL_ASCII", "LATIN1", "EUC_JP"] {
        let words = format!("TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'");
        let database = Database::postgres_with(&words).await;
        let Err(Error::Precondition(why)) = opened(&database).await else { panic!("{encoding} is accepted") };
        assert!(why.contains(encoding) && why.contains("ENCODING 'UTF8'"), "{why}");
        // The statement that is named makes one that is accepted.
        let statement = why.split("CREATE DATABASE chancery ").nth(1).unwrap();
        let right = Database::postgres_with(statement).await;
        opened(&right).await.unwrap().close().await;
        right.drop().await;
        database.drop().await;
    }
}

#[tokio::test]
async fn tables_are_found_along_the_search_path_and_a_path_that_leads_nowhere_is_refused() {
    if !with_postgres() {
        return;
    }
    let f = Fixture::on(another_schema().await).await;
    let schemas =
        "SELECT DISTINCT CAST(schemaname AS TEXT) FROM pg_tables WHERE tablename IN ('users', '_sqlx_migrations')";
    assert_eq!(texts(&f.database, schemas).await, ["app"]);
    f.database.sql("CREATE SCHEMA other").await.unwrap();
    let name = f.database.name();
    in_cluster(&format!("ALTER DATABASE {name} SET search_path = 'other', 'app'")).await;
    // Not an empty database, in which another deployment could be set up.
    let store = f.second().await;
    assert!(matches!(store.schema().await.unwrap(), chancery::store::Schema::Current(_)));
    store.close().await;
    in_cluster(&format!("ALTER DATABASE {name} SET search_path = ''")).await;
    let Err(Error::Precondition(why)) = opened(&f.database).await else { panic!("it has no schema") };
    assert!(why.contains("search_path"), "{why}");
    f.finish().await;
}

#[tokio::test]
async fn a_role_that_may_not_use_its_schema_is_told_so() {
    if !with_postgres() {
        return;
    }
    let database = Database::postgres().await;
    let role = format!("r{}", database.name());
    in_cluster(&format!("CREATE ROLE {role} LOGIN")).await;
    database.sql("REVOKE ALL ON SCHEMA public FROM public").await.unwrap();
    let Location::Postgres(url) = &database.location else { panic!() };
    let (_, rest) = url.expose().split_once('@').unwrap();
    let location = Location::parse(&format!("postgres://{role}@{rest}")).unwrap();
    let Err(Error::Precondition(why)) = opened(&Database { location, ..database.clone() }).await else {
        panic!("it may not")
    };
    assert!(why.contains("may not use the schema public") && why.contains("GRANT USAGE"), "{why}");
    database.drop().await;
    in_cluster(&format!("DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_role_that_may_not_create_tables_is_told_what_it_needs() {
    if !with_postgres() {
        return;
    }
    let database = Database::postgres().await;
    let role = format!("r{}", database.name());
    in_cluster(&format!("CREATE ROLE {role} LOGIN")).await;
    database.sql("REVOKE CREATE ON SCHEMA public FROM public").await.unwrap();
    let Location::Postgres(url) = &database.location else { panic!() };
    let (_, rest) = url.expose().split_once('@').unwrap();
    let location = Location::parse(&format!("postgres://{role}@{rest}")).unwrap();
    let theirs = Database { location, ..database.clone() };
    let store = opened(&theirs).await.unwrap();
    let Err(Error::Precondition(why)) = store.migrate(crate::fixture::NOW).await else { panic!("it may not") };
    assert!(why.contains("OWNER TO") && why.contains("permission denied for schema public"), "{why}");
    store.close().await;
    database.drop().await;
    in_cluster(&format!("DROP ROLE {role}")).await;
}

#[tokio::test]
async fn an_error_of_postgresql_is_told_without_a_line_of_its_source() {
    if !with_postgres() {
        return;
    }
    let database = Database::postgres().await;
    let Location::Postgres(url) = &database.location else { panic!() };
    let missing = Database { location: Location::parse(&format!("{}x", url.expose())).unwrap(), ..database.clone() };
    let Err(error) = opened(&missing).await else { panic!("there is no such database") };
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("does not exist (SQLSTATE 3D000)") && !cause.contains("at line"), "{cause}");
    assert!(!format!("{error:?}").contains("postinit.c"), "{error:?}");
    database.drop().await;
}

#[tokio::test]
async fn nothing_prints_the_password_of_the_database() {
    if !with_postgres() {
        return;
    }
    let database = Database::postgres().await;
    let Location::Postgres(url) = &database.location else { panic!() };
    let (user, rest) = url.expose().split_once('@').unwrap();
    let with = format!("{user}:canary@{rest}?application_name=canary&sslmode=disable&password=canary");
    let location = Location::parse(&with).unwrap();
    let store = opened(&Database { location: location.clone(), ..database.clone() }).await.unwrap();
    let printed = format!("{store:?} {location:?} {location}");
    assert!(!printed.contains("canary"), "{printed}");
    store.close().await;
    database.drop().await;
}
