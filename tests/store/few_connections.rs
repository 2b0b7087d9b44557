//! A server of PostgreSQL that allows few connections.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use chancery::{
    domain::audit::{Actor, AuditFilter, AuditKind},
    error::{Error, Result},
    store::{Location, Store},
};
use futures_util::future::join_all;
use sqlx::{Connection, PgConnection};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    database::{Database, in_cluster, with_postgres},
    fixture::{Fixture, NOW},
};

/// A database whose owner may have so many connections.
struct Small {
    f: Fixture,
    role: String,
    database: Database,
    /// How many connections were attempted.
    attempts: Arc<AtomicU32>,
}

impl Small {
    async fn with(limit: u32) -> Self {
        let f = Fixture::postgres().await;
        let role = format!("r{}", f.database.name());
        in_cluster(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT {limit}")).await;
        let grant = format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; GRANT USAGE ON SCHEMA public TO {role}"
        );
        for statement in grant.split("; ") {
            f.database.sql(statement).await.unwrap();
        }
        let Location::Postgres(url) = &f.database.location else { panic!() };
        let (_, rest) = url.expose().split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let (listener, attempts) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(AtomicU32::new(0)));
        let url = format!("postgres://{role}@{}/{name}", listener.local_addr().unwrap());
        let database = Database { location: Location::parse(&url).unwrap(), ..f.database.clone() };
        tokio::spawn(count(listener, server.to_owned(), attempts.clone()));
        Self { f, role, database, attempts }
    }

    async fn open(&self) -> Result<Store> {
        Store::open(&self.database.location, false, self.f.entropy.clone()).await
    }

    /// A connection that somebody else has.
    async fn taken(&self) -> PgConnection {
        let Location::Postgres(url) = &self.database.location else { panic!() };
        PgConnection::connect(url.expose()).await.unwrap()
    }

    async fn finish(self) {
        let role = self.role.clone();
        self.f.finish().await;
        in_cluster(&format!("DROP ROLE {role}")).await;
    }
}

/// Forwards connections and counts them.
async fn count(listener: TcpListener, server: String, attempts: Arc<AtomicU32>) {
    while let Ok((mut near, _)) = listener.accept().await {
        attempts.fetch_add(1, Ordering::Relaxed);
        let server = server.clone();
        tokio::spawn(async move {
            let mut far = TcpStream::connect(server).await.unwrap();
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

/// Everything that a server does at once.
async fn all_at_once(store: &Store) {
    so_many_at_once(store, 60).await;
}

async fn so_many_at_once(store: &Store, count: u32) {
    let calls = (0..count).map(|n| async move {
        match n % 4 {
            0 => store.read().await?.instance().await.map(drop),
            1 => store.follow().await?.feed_head().await.map(drop),
            2 => store.report().await?.audit_page(&AuditFilter::default(), None, 1).await.map(drop),
            _ => {
                let mut tx = store.write().await?;
                tx.audit(NOW, AuditKind::UserDisabled, &Actor::command(), "usr_1", serde_json::json!({})).await?;
                tx.commit().await.map(drop)
            }
        }
    });
    let outcomes: Vec<Result<()>> = join_all(calls).await;
    assert!(outcomes.iter().all(Result::is_ok), "{:?}", outcomes.iter().find(|o| o.is_err()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_with_three_connections_is_lived_with_and_leaves_one_to_commands() {
    if !with_postgres() {
        return;
    }
    let small = Small::with(3).await;
    let store = small.open().await.unwrap();
    let connected = store.connected().unwrap();
    assert_eq!((connected.connections, connected.allowed), (2, Some(3)));
    all_at_once(&store).await;
    // Listening would take a connection that others need.
    drop(store.listen().await.unwrap());
    let before = small.attempts.load(Ordering::Relaxed);
    let command = small.open().await.unwrap();
    so_many_at_once(&command, 1).await;
    // The one that it keeps, and one that is refused: no other is closed before its room is needed again.
    assert_eq!(small.attempts.load(Ordering::Relaxed) - before, 2);
    all_at_once(&store).await;
    all_at_once(&command).await;
    command.close().await;
    store.close().await;
    small.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_others_have_the_connections_calls_wait_in_turn_for_the_one_that_is_left() {
    if !with_postgres() {
        return;
    }
    let small = Small::with(4).await;
    let others = [small.taken().await, small.taken().await, small.taken().await];
    let store = small.open().await.unwrap();
    assert_eq!(store.connected().unwrap().connections, 3);
    let before = small.attempts.load(Ordering::Relaxed);
    let since = tokio::time::Instant::now();
    for _ in 0..10 {
        // So few that their turn comes in time on a slow machine too.
        so_many_at_once(&store, 12).await;
    }
    let attempts = small.attempts.load(Ordering::Relaxed) - before;
    // Never more often than once a second after the first.
    let most = 5 + since.elapsed().as_secs();
    assert!(u64::from(attempts) <= most, "{attempts} attempts to connect: a storm");
    drop(others);
    so_many_at_once(&store, 12).await;
    store.close().await;
    small.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_connection_that_ends_is_unavailable() {
    if !with_postgres() {
        return;
    }
    let f = Fixture::postgres().await;
    let store = Store::open_with(&f.database.location, false, f.entropy.clone(), Some(1)).await.unwrap();
    let held = store.write().await.unwrap();
    assert!(matches!(store.read().await, Err(Error::Unavailable(_))));
    drop(held);
    all_at_once(&store).await;
    store.close().await;
    f.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_any_connection_left_says_so() {
    if !with_postgres() {
        return;
    }
    let small = Small::with(1).await;
    let other = small.taken().await;
    let Err(error @ Error::Unavailable(_)) = small.open().await else { panic!("there is no connection") };
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("too many connections for role"), "{cause}");
    drop(other);
    small.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_opens_no_more_connections_than_it_is_told() {
    if !with_postgres() {
        return;
    }
    for wanted in [1, 2, 3, 5, 9] {
        let small = Small::with(50).await;
        let location = &small.database.location;
        let store = Store::open_with(location, false, small.f.entropy.clone(), Some(wanted)).await.unwrap();
        assert_eq!(store.connected().unwrap().connections, wanted);
        let listening = store.listen().await.unwrap();
        all_at_once(&store).await;
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1";
        let Location::Postgres(url) = &small.f.database.location else { panic!() };
        let mut connection = PgConnection::connect(url.expose()).await.unwrap();
        let (open,): (i64,) = sqlx::query_as(sql).bind(&small.role).fetch_one(&mut connection).await.unwrap();
        assert!(open <= i64::from(wanted), "{open} of {wanted}");
        drop(listening);
        store.close().await;
        small.finish().await;
    }
}
