//! The connections of this process to PostgreSQL.
//!
//! sqlx's own pools keep each caller in a loop of attempts while the server has no connection left, although one may
//! have been given back meanwhile. Here a connection is attempted once; after a refusal for want of room, callers
//! wait in turn for those that are open, and one of them tries again from time to time. Each use has turns of its
//! own, so that one cannot take those of another, and all uses share the connections.

use std::{
    fmt, io, mem,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, PgConnection, Row, postgres::PgConnectOptions};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{
    ACQUIRE_TIMEOUT,
    connection_figures::ConnectionFigures,
    failure::{has_no_room, is_starting},
    readiness::Readiness,
};

/// A connection that was idle for longer is pinged before use: the server may be gone. Pinging every time would
/// add one round trip to every three in a stream of batches.
const PING_AFTER_IDLE: Duration = Duration::from_millis(200);
/// How long to wait for the answer.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that nobody has needed for longer is closed, so that other processes can have it.
const IDLE: Duration = Duration::from_mins(1);
/// A connection that is older is not used again: an address may lead elsewhere by now.
const LIFETIME: Duration = Duration::from_mins(30);
/// How long to wait before a server that refuses connections is tried again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long to wait before a server without room for a connection is asked for one more, at first and at most. Each
/// refusal costs it a process and a line in its log.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// How many transactions of each use may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// For changes and reads.
    pub(super) main: u32,
    /// For following the feed. The second is for the moment in which the first connection is given back.
    pub(super) follow: u32,
    /// For reports; 0 if they take their turn among the changes and reads.
    pub(super) report: u32,
    /// Whether one more connection may listen for notifications.
    pub(super) listen: bool,
}

impl Plan {
    /// For so many connections in all.
    pub(super) fn of(connections: u32, may_listen: bool) -> Self {
        let listen = may_listen && connections >= 6;
        let seats = connections.max(1) - u32::from(listen);
        let (follow, report) = match seats {
            0..4 => (1, 0),
            4..8 => (1, 1),
            8.. => (2, 2),
        };
        Self { main: seats.saturating_sub(follow + report).max(1), follow, report, listen }
    }
}

/// Connections for one use. Cheap to clone.
#[derive(Clone)]
pub(super) struct Seats {
    shared: Arc<Shared>,
    turns: Arc<Semaphore>,
}

/// What all uses share.
pub(super) struct Shared {
    options: PgConnectOptions,
    readiness: Arc<Readiness>,
    /// Whether the server may quote what follows the `?` of the URL when it refuses a connection.
    hides: bool,
    /// As many as there may be connections in use.
    seats: Arc<Semaphore>,
    /// How many connections there may be in use, if the server refuses none.
    planned: AtomicU32,
    state: Mutex<State>,
}

struct State {
    /// The one that was used last is the last.
    idle: Vec<Idle>,
    /// How many connections fewer than planned there may be, because the server has refused more.
    missing: u32,
    /// The server has refused a connection, and has not given one since.
    short: bool,
    /// When the server may be asked for one more, and how long after that for the next.
    retry_at: Instant,
    retry_after: Duration,
}

struct Idle {
    connection: PgConnection,
    born: Instant,
    process: Option<i32>,
    since: Instant,
}

impl fmt::Debug for Seats {
    /// Nothing of the options: a password is among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seats").field("free", &self.turns.available_permits()).finish_non_exhaustive()
    }
}

impl Shared {
    /// For one connection, which is not open yet.
    pub(super) fn new(options: PgConnectOptions, readiness: Arc<Readiness>, hides: bool) -> Arc<Self> {
        let state =
            State { idle: Vec::new(), missing: 0, short: false, retry_at: Instant::now(), retry_after: FIRST_RETRY };
        let planned = AtomicU32::new(1);
        Arc::new(Self {
            options,
            readiness,
            hides,
            seats: Arc::new(Semaphore::new(1)),
            planned,
            state: Mutex::new(state),
        })
    }

    /// Allows so many connections more.
    pub(super) fn admit(&self, more: u32) {
        self.planned.fetch_add(more, Ordering::Relaxed);
        self.seats.add_permits(more as usize);
    }

    /// How to connect.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat, in turn.
    async fn seat(&self) -> sqlx::Result<OwnedSemaphorePermit> {
        self.grow();
        let seat = self.seats.clone().acquire_owned();
        tokio::pin!(seat);
        loop {
            match timeout(FIRST_RETRY, &mut seat).await {
                Ok(seat) => return seat.map_err(|_| sqlx::Error::PoolClosed),
                // There may be no connection left whose return would be noticed.
                Err(_) => self.grow(),
            }
        }
    }

    /// Has one more connection attempted, if some are missing and it is time.
    fn grow(&self) {
        let mut state = self.state();
        if state.missing > 0 && Instant::now() >= state.retry_at {
            state.missing -= 1;
            state.retry_at = Instant::now() + state.retry_after;
            self.seats.add_permits(1);
        }
    }

    /// The server has no room for another connection: does without this seat for a while.
    fn shrink(&self, seat: OwnedSemaphorePermit) {
        seat.forget();
        let mut state = self.state();
        if state.short {
            state.retry_after = (state.retry_after * 2).min(LONGEST_RETRY);
        } else {
            state.short = true;
            state.retry_after = FIRST_RETRY;
            tracing::warn!("the database has no room for more connections of this process: calls wait in turn");
        }
        state.missing += 1;
        state.retry_at = Instant::now() + state.retry_after;
    }

    /// The server has given a connection.
    fn opened(&self) {
        let mut state = self.state();
        state.short = state.missing > 0;
        state.retry_after = FIRST_RETRY;
    }

    /// An open connection that answers, if there is one.
    async fn answering(&self) -> Option<Idle> {
        loop {
            let mut idle = self.state().idle.pop()?;
            if !self.readiness.trusts(idle.born.elapsed()) {
                continue;
            }
            if idle.since.elapsed() <= PING_AFTER_IDLE {
                return Some(idle);
            }
            match timeout(PING_TIMEOUT, idle.connection.ping()).await {
                Ok(Ok(())) => return Some(idle),
                // Closed by the server. The next one may still be good.
                Ok(Err(_)) => {}
                // Each of the others might be as silent, and waiting for each would take too long.
                Err(_) => self.readiness.connection_failed(),
            }
        }
    }

    /// Opens a connection.
    async fn open(&self) -> sqlx::Result<Idle> {
        let connection = self.options.connect().await?;
        self.opened();
        let now = Instant::now();
        Ok(Idle { connection, born: now, process: None, since: now })
    }

    /// Keeps a connection for the next caller, and closes those that were not needed for long.
    fn keep(&self, connection: PgConnection, born: Instant, process: Option<i32>) {
        let now = Instant::now();
        let mut gone = Vec::new();
        let mut state = self.state();
        if self.seats.is_closed() || born.elapsed() > LIFETIME {
            gone.push(connection);
        } else {
            state.idle.push(Idle { connection, born, process, since: now });
        }
        let unneeded = state.idle.iter().take_while(|idle| now.duration_since(idle.since) > IDLE).count();
        gone.extend(state.idle.drain(..unneeded).map(|idle| idle.connection));
        drop(state);
        if !gone.is_empty() {
            tokio::spawn(farewell(gone));
        }
    }
}

/// Closes connections as the server expects it.
async fn farewell(connections: Vec<PgConnection>) {
    for connection in connections {
        let _ = timeout(PING_TIMEOUT, connection.close()).await;
    }
}

impl Seats {
    /// The same connections for another use, with so many turns.
    pub(super) fn of(shared: &Arc<Shared>, turns: u32) -> Self {
        Self { shared: shared.clone(), turns: Arc::new(Semaphore::new(turns as usize)) }
    }

    /// Takes a connection, in turn.
    ///
    /// # Errors
    /// [`sqlx::Error::PoolTimedOut`] if none was to be had in time, or why there is none.
    pub(super) async fn acquire(&self) -> sqlx::Result<Lent> {
        timeout(ACQUIRE_TIMEOUT, self.wait()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn wait(&self) -> sqlx::Result<Lent> {
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let mut pause = FIRST_PAUSE;
        loop {
            let seat = self.shared.seat().await?;
            let opened = match self.shared.answering().await {
                Some(open) => Ok(open),
                None => self.shared.open().await,
            };
            match opened {
                Ok(Idle { connection, born, process, .. }) => {
                    let place = Place { shared: self.shared.clone(), _seat: seat, _turn: turn };
                    return Ok(Lent { connection, born, process, place });
                }
                Err(error) if has_no_room(&error) => self.shared.shrink(seat),
                Err(error) if is_starting(&error) => {
                    pause_for(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(self.without_parameters(error)),
            }
        }
    }

    /// An error of connecting without the server's words, if these may quote what follows the `?` of the URL.
    pub(super) fn without_parameters(&self, error: sqlx::Error) -> sqlx::Error {
        match error {
            sqlx::Error::Database(db) if self.shared.hides => sqlx::Error::Io(io::Error::other(format!(
                "PostgreSQL refuses the connection (SQLSTATE {}): its log says why; look at what follows the `?` in the \
                 URL, such as user, dbname and options",
                db.code().unwrap_or_default()
            ))),
            other => other,
        }
    }

    /// How many connections all uses have now.
    pub(super) fn figures(&self) -> ConnectionFigures {
        let (idle, missing) = {
            let state = self.shared.state();
            (state.idle.len() as u64, u64::from(state.missing))
        };
        let most = u64::from(self.shared.planned.load(Ordering::Relaxed)).saturating_sub(missing);
        let used = most.saturating_sub(self.shared.seats.available_permits() as u64);
        ConnectionFigures { open: used + idle, used, most }
    }

    /// Closes all connections, those in use once they are given back.
    pub(super) async fn close(&self) {
        self.shared.seats.close();
        let idle = mem::take(&mut self.shared.state().idle);
        farewell(idle.into_iter().map(|idle| idle.connection).collect()).await;
    }

    /// How to connect.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.shared.options
    }

    /// Whether the server has refused a connection lately for want of room.
    pub(super) fn is_short(&self) -> bool {
        self.shared.state().missing > 0
    }
}

#[expect(clippy::disallowed_methods, reason = "a server that is starting is not asked again at once")]
async fn pause_for(pause: Duration) {
    tokio::time::sleep(pause).await;
}

/// A connection in use. It is closed when it is dropped.
pub(super) struct Lent {
    connection: PgConnection,
    born: Instant,
    /// The server's process that it led to at first.
    process: Option<i32>,
    place: Place,
}

/// The seat and the turn, which are free once this is dropped.
struct Place {
    shared: Arc<Shared>,
    _seat: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Lent {
    /// Gives the connection back, to be used by others.
    pub(super) fn give_back(self) {
        let Self { connection, born, process, place } = self;
        place.shared.keep(connection, born, process);
    }

    /// Begins a transaction. It ends with an error if names of statements would be those of another process of the
    /// server: a pooler has begun to lend connections for one transaction.
    pub(super) async fn begin(&mut self, sql: &'static str) -> sqlx::Result<()> {
        let rows = sqlx::raw_sql(sql).fetch_all(&mut self.connection).await?;
        let readiness = &self.place.shared.readiness;
        let Some(row) = rows.first().filter(|_| readiness.may_name()) else { return Ok(()) };
        let process: i32 = row.try_get(0)?;
        if *self.process.get_or_insert(process) == process {
            return Ok(());
        }
        readiness.found_pooler();
        Err(sqlx::Error::Protocol("the connection leads to another process of the server than before".to_owned()))
    }
}

impl Deref for Lent {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_lacks_one_connection_is_asked_ever_more_rarely() {
        let shared = Shared::new(PgConnectOptions::new_without_pgpass(), Arc::default(), false);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            shared.state().retry_at = Instant::now();
            shared.shrink(shared.seat().await.unwrap());
            pauses.push(shared.state().retry_after.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        shared.state().missing = 0;
        shared.opened();
        shared.admit(1);
        shared.shrink(shared.seat().await.unwrap());
        assert_eq!(shared.state().retry_after, FIRST_RETRY, "one was given meanwhile");
    }

    #[test]
    fn a_plan_never_opens_more_than_it_may_and_leaves_each_use_a_turn() {
        for connections in 1..100 {
            for may_listen in [false, true] {
                let plan = Plan::of(connections, may_listen);
                assert!(plan.main >= 1 && plan.follow >= 1, "{connections}: {plan:?}");
                let turns = plan.main + plan.follow + plan.report + u32::from(plan.listen);
                assert!(turns <= connections.max(2), "{connections}: {plan:?}");
            }
        }
        assert_eq!(Plan::of(17, true), Plan { main: 12, follow: 2, report: 2, listen: true });
        assert_eq!(Plan::of(3, true), Plan { main: 2, follow: 1, report: 0, listen: false });
    }
}
