//! PostgreSQL behind a pooler that lends a connection for one transaction.

use chancery::store::{Schema, Store};

use crate::{
    database::{Database, with_postgres},
    feed,
    fixture::{Fixture, NOW},
    import, interrupted, login_failures, mails, refresh, sessions, tickets, users,
};

#[path = "../support/pooler.rs"]
mod pool;
use pool::{Lends, Pooler};

/// Runs cases of the contract through a pooler that puts each transaction on another connection.
macro_rules! through_a_pooler {
    ($($module:ident::$case:ident),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            if !with_postgres() {
                return;
            }
            let database = Database::postgres().await;
            let pooler = Pooler::to(&database, 6, Lends::First).await;
            let fixture = Fixture::on(pooler.database.clone()).await;
            assert!(fixture.store.connected().unwrap().pooled);
            $module::$case(&fixture).await;
            fixture.finish().await;
        })+
    };
}

through_a_pooler! {
    feed::numbers_follow_the_order_of_commits_without_gaps,
    import::concurrent_imports_of_the_same_users_succeed_once,
    interrupted::callers_that_go_away_leave_no_transaction_behind,
    interrupted::a_transaction_is_not_committed_after_a_failed_statement,
    login_failures::no_two_attempts_are_allowed_by_the_same_count,
    mails::concurrent_claimants_get_each_mail_once,
    refresh::concurrent_requests_rotate_once,
    refresh::outcomes_of_a_batch_are_in_the_order_of_its_requests,
    sessions::concurrent_calls_revoke_a_session_once,
    tickets::concurrent_calls_use_a_ticket_once,
    users::pages_are_stable,
    users::concurrent_creations_with_one_name_create_one_user,
}

#[tokio::test]
async fn a_pooler_is_found_at_the_start_whichever_connection_it_lends_next() {
    if !with_postgres() {
        return;
    }
    let f = Fixture::postgres().await;
    assert!(!f.store.connected().unwrap().pooled);
    for (connections, lends) in
        [(1, Lends::Last), (2, Lends::Last), (2, Lends::First), (3, Lends::First), (9, Lends::Last)]
    {
        let pooler = Pooler::to(&f.database, connections, lends).await;
        let store = Store::open(&pooler.database.location, false, f.entropy.clone()).await.unwrap();
        assert!(store.connected().unwrap().pooled, "{connections} {lends:?}");
        store.close().await;
    }
    f.finish().await;
}

#[tokio::test]
async fn a_listener_behind_a_pooler_waits_for_nothing_and_costs_no_connection() {
    if !with_postgres() {
        return;
    }
    let f = Fixture::postgres().await;
    let pooler = Pooler::to(&f.database, 1, Lends::Last).await;
    let store = Store::open(&pooler.database.location, false, f.entropy.clone()).await.unwrap();
    let mut wake = store.listen().await.unwrap();
    assert!(futures_util::poll!(Box::pin(wake.grown())).is_pending());
    // The only connection is free.
    store.follow().await.unwrap().feed_head().await.unwrap().unwrap();
    store.close().await;
    f.finish().await;
}

#[tokio::test]
async fn neither_locks_nor_names_of_statements_are_left_on_the_connections_of_a_pooler() {
    if !with_postgres() {
        return;
    }
    let database = Database::postgres().await;
    let pooler = Pooler::to(&database, 3, Lends::First).await;
    let f = Fixture::on(pooler.database.clone()).await;
    f.signed_in(&f.ada().await).await;
    // A second process that migrates finds nothing locked.
    let second = f.second().await;
    second.migrate(NOW).await.unwrap();
    assert!(matches!(second.schema().await.unwrap(), Schema::Current(_)));
    for _ in 0..3 {
        let sql = "DO $$ BEGIN IF (SELECT count(*) FROM pg_prepared_statements) > 0 OR EXISTS (SELECT FROM pg_locks AS l \
            JOIN pg_database AS d ON d.oid = l.database WHERE l.locktype = 'advisory' AND d.datname = current_database()) \
            THEN RAISE EXCEPTION 'something is left'; END IF; END $$";
        pool_sql(&pooler, sql).await;
    }
    second.close().await;
    f.finish().await;
}

/// One statement through a pooler, as it is.
async fn pool_sql(pooler: &Pooler, sql: &'static str) {
    use sqlx::{ConnectOptions, postgres::PgConnectOptions};
    let chancery::store::Location::Postgres(url) = &pooler.database.location else { panic!() };
    let options: PgConnectOptions = url.expose().parse().unwrap();
    let mut connection = options.extra_float_digits(None::<i8>).connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_pooler_that_begins_to_lend_for_one_transaction_is_noticed_by_the_next_one_and_fails_nothing() {
    if !with_postgres() {
        return;
    }
    let f = Fixture::postgres().await;
    let pooler = Pooler::to(&f.database, 20, Lends::First).await;
    pooler.by_session(true);
    let store = Store::open(&pooler.database.location, false, f.entropy.clone()).await.unwrap();
    assert!(!store.connected().unwrap().pooled);
    pooler.by_session(false);
    for _ in 0..40 {
        assert!(store.read().await.unwrap().instance().await.unwrap().is_some());
    }
    store.close().await;
    f.finish().await;
}

#[tokio::test]
async fn processes_with_one_connection_each_share_a_pooler_without_names_of_statements() {
    if !with_postgres() {
        return;
    }
    let f = Fixture::postgres().await;
    let pooler = Pooler::to(&f.database, 3, Lends::First).await;
    for _ in 0..3 {
        let location = &pooler.database.location;
        let store = Store::open_with(location, false, f.entropy.clone(), Some(1)).await.unwrap();
        assert!(!store.connected().unwrap().direct, "it cannot be told with one connection");
        for _ in 0..7 {
            assert!(store.read().await.unwrap().instance().await.unwrap().is_some());
        }
        store.close().await;
    }
    f.finish().await;
}
