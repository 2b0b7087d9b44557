//! Notifications from PostgreSQL that the feed has grown. They only save time: each process still reads the feed
//! itself, and also polls it regularly.

use std::time::Duration;

use sqlx::{
    ConnectOptions, Connection,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time::{Instant, timeout};

use super::{Store, connection::within, failure, pools::Pools};
use crate::error::{Error, Result};

/// The channel that [`super::Tx`] notifies when it appends to the feed.
const CHANNEL: &str = "chancery_feed";
/// After this long without a notification, the connection is tried.
const SILENCE: Duration = Duration::from_secs(10);
/// How long to wait for its answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Receives notifications that the feed has grown.
#[derive(Debug)]
pub struct Wake(Option<PgListener>);

impl Store {
    /// Listens for growth of the feed, over a separate connection. On SQLite, behind a pooler and where there are few
    /// connections, there are no notifications.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn listen(&self) -> Result<Wake> {
        let Pools::Postgres { main, listen: true, .. } = &self.pools else { return Ok(Wake(None)) };
        // Behind a pooler, notifications reach whoever has the connection.
        if self.reports.readiness.is_pooled() {
            return Ok(Wake(None));
        }
        if main.is_short() {
            return Err(Error::Unavailable("the database has no connection to spare for notifications".into()));
        }
        let connect = async {
            // Where there is no room, the pool would try again and again.
            main.options().connect().await.map_err(|e| main.without_parameters(e))?.close().await?;
            // A pool for this connection alone: a listener that is dropped sends a farewell over it, and waits for the
            // answer for as long as the system does.
            let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(ANSWER);
            let mut listener = PgListener::connect_with(&pool.connect_lazy_with(main.options().clone())).await?;
            listener.listen(CHANNEL).await.map(|()| listener)
        };
        let limit = Instant::now() + ANSWER;
        let listener = within(limit, Box::pin(connect)).await.map_err(failure)?;
        Ok(Wake(Some(listener)))
    }
}

impl Wake {
    /// Waits until the feed may have grown.
    ///
    /// # Errors
    /// If the connection was lost. Listen again.
    pub async fn grown(&mut self) -> Result<()> {
        let Some(listener) = &mut self.0 else { return std::future::pending().await };
        // A lost connection counts as growth: a notification may have been missed. A silent one may be lost.
        loop {
            if let Ok(received) = timeout(SILENCE, listener.try_recv()).await {
                received.map_err(failure)?;
                break;
            }
            within(Instant::now() + ANSWER, sqlx::query("SELECT 1").execute(&mut *listener)).await.map_err(failure)?;
        }
        // Reading the feed once covers all notifications received so far.
        while listener.next_buffered().is_some() {}
        Ok(())
    }
}
