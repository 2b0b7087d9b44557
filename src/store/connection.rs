//! A connection taken from a pool, with a transaction on it.
//!
//! sqlx has transactions of its own, but version 0.9 puts a connection back into its pool with the transaction open if
//! the caller is dropped while `BEGIN` is under way, and counts wrongly on SQLite once a commit has failed. Here the
//! connection goes back only after a `COMMIT` or `ROLLBACK` that the database has confirmed. Otherwise it is closed.

use std::{
    future::Future,
    io,
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{Connection, Database, Postgres, Sqlite, SqlitePool, pool::PoolConnection};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    failure::is_timeout,
    seats::{Lent, Seats},
};

/// How long to wait until a connection can be given back or is closed. Nobody waits for this but the pool.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// An engine that lends connections, and runs statements without parameters.
pub(super) trait Engine: Database {
    /// Where connections come from.
    type Lender: Send + Sync;
    /// A connection in use.
    type Lent: DerefMut<Target = Self::Connection> + Send + 'static;

    /// Takes a connection.
    fn lend(lender: &Self::Lender) -> impl Future<Output = sqlx::Result<Self::Lent>> + Send;

    /// Gives a connection without a transaction back.
    fn give_back(lent: Self::Lent) -> impl Future<Output = ()> + Send;

    /// Closes a connection.
    fn close(lent: Self::Lent) -> impl Future<Output = ()> + Send;

    /// Begins a transaction.
    fn begin(lent: &mut Self::Lent, sql: &'static str) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Runs one or more statements.
    fn run(connection: &mut Self::Connection, sql: &'static str) -> impl Future<Output = sqlx::Result<()>> + Send;
}

impl Engine for Sqlite {
    type Lender = SqlitePool;
    type Lent = PoolConnection<Self>;

    async fn lend(lender: &SqlitePool) -> sqlx::Result<PoolConnection<Self>> {
        lender.acquire().await
    }

    async fn give_back(mut lent: PoolConnection<Self>) {
        // The pool pings the connection. Left alone, it would wait for the answer without end; here it is dropped.
        let _ = timeout(RELEASE_TIMEOUT, lent.return_to_pool()).await;
    }

    async fn close(lent: PoolConnection<Self>) {
        let _ = timeout(RELEASE_TIMEOUT, lent.detach().close_hard()).await;
    }

    async fn begin(lent: &mut PoolConnection<Self>, sql: &'static str) -> sqlx::Result<()> {
        Self::run(lent, sql).await
    }

    async fn run(connection: &mut Self::Connection, sql: &'static str) -> sqlx::Result<()> {
        sqlx::raw_sql(sql).execute(connection).await.map(drop)
    }
}

impl Engine for Postgres {
    type Lender = Seats;
    type Lent = Lent;

    async fn lend(lender: &Seats) -> sqlx::Result<Lent> {
        lender.acquire().await
    }

    async fn give_back(lent: Lent) {
        lent.give_back();
    }

    async fn close(lent: Lent) {
        // All that can be done is to drop the socket: a farewell might not be answered.
        drop(lent);
    }

    async fn begin(lent: &mut Lent, sql: &'static str) -> sqlx::Result<()> {
        lent.begin(sql).await
    }

    async fn run(connection: &mut Self::Connection, sql: &'static str) -> sqlx::Result<()> {
        sqlx::raw_sql(sql).execute(connection).await.map(drop)
    }
}

/// What is known about the transaction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is none.
    Ended,
    /// There may be one. `ROLLBACK` ends it.
    Open,
    /// The database does not answer.
    InDoubt,
}

/// A connection with a transaction. If it is dropped, the transaction is rolled back in the background.
pub(super) struct TxConnection<DB: Engine> {
    /// Always there until it is dropped. In a box, because it is part of the future of every call.
    connection: Option<Box<DB::Lent>>,
    state: State,
}

impl<DB: Engine> TxConnection<DB> {
    /// Takes a connection. There is no transaction yet.
    pub(super) async fn acquire(lender: &DB::Lender) -> sqlx::Result<Self> {
        // Acquiring takes 15 KiB of state, which would otherwise be part of the future of every call.
        let connection = Box::pin(DB::lend(lender)).await?;
        Ok(Self { connection: Some(Box::new(connection)), state: State::Ended })
    }

    /// Begins the transaction.
    pub(super) async fn begin(&mut self, sql: &'static str, limit: Instant) -> sqlx::Result<()> {
        // Set first: from here on the caller may be dropped at any time.
        self.state = State::Open;
        let Some(connection) = self.connection.as_mut() else { return Err(sqlx::Error::PoolClosed) };
        let begun = within(limit, DB::begin(connection, sql)).await;
        if let Err(error) = &begun {
            self.state = if is_timeout(error) { State::InDoubt } else { State::Open };
        }
        begun
    }

    /// Commits. If this fails, the connection is closed.
    pub(super) async fn commit(&mut self, limit: Instant) -> sqlx::Result<()> {
        let committed = within(limit, DB::run(self, "COMMIT")).await;
        self.state = if committed.is_ok() { State::Ended } else { State::InDoubt };
        committed
    }

    /// The database did not answer: nothing more is to be sent over this connection.
    pub(super) fn doubt(&mut self) {
        self.state = State::InDoubt;
    }
}

#[expect(clippy::expect_used, reason = "the connection is taken only in `drop`")]
impl<DB: Engine> Deref for TxConnection<DB> {
    type Target = DB::Connection;
    fn deref(&self) -> &Self::Target {
        self.connection.as_ref().expect("a connection")
    }
}

#[expect(clippy::expect_used, reason = "the connection is taken only in `drop`")]
impl<DB: Engine> DerefMut for TxConnection<DB> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.connection.as_mut().expect("a connection")
    }
}

impl<DB: Engine> Drop for TxConnection<DB> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let state = self.state;
        // Without a runtime nothing can be sent; the connection is then closed by the operating system.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            std::mem::forget(connection);
            return;
        };
        runtime.spawn(release::<DB>(*connection, state));
    }
}

/// Gives a connection back to its pool if it is certain that there is no transaction on it, and closes it otherwise.
async fn release<DB: Engine>(mut connection: DB::Lent, state: State) {
    let is_clean = match state {
        State::Ended => true,
        State::Open => matches!(timeout(RELEASE_TIMEOUT, DB::run(&mut connection, "ROLLBACK")).await, Ok(Ok(()))),
        State::InDoubt => false,
    };
    if is_clean { DB::give_back(connection).await } else { DB::close(connection).await }
}

/// Waits for the database until `limit`.
pub(super) async fn within<T>(limit: Instant, answer: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let late = |_| sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time"));
    timeout_at(limit, answer).await.unwrap_or_else(|e| Err(late(e)))
}
