//! Notifications from PostgreSQL that the feed has grown. They only save time: each process still reads the feed
//! itself, and also polls it regularly.

use sqlx::postgres::PgListener;

use super::{Pools, Store, failure};
use crate::error::Result;

/// The channel that [`super::Tx`] notifies when it appends to the feed.
const CHANNEL: &str = "chancery_feed";

/// Receives notifications that the feed has grown.
#[derive(Debug)]
pub struct Wake(Option<PgListener>);

impl Store {
    /// Listens for growth of the feed, over a separate connection. On SQLite there are no notifications.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn listen(&self) -> Result<Wake> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(Wake(None)) };
        let mut listener = PgListener::connect_with(pool).await.map_err(failure)?;
        listener.listen(CHANNEL).await.map_err(failure)?;
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
        // A lost connection counts as growth: a notification may have been missed.
        listener.try_recv().await.map_err(failure)?;
        // Reading the feed once covers all notifications received so far.
        while listener.next_buffered().is_some() {}
        Ok(())
    }
}
