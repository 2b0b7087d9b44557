//! PostgreSQL tells every process that the feed has grown. That only saves waiting: what it is, each reads
//! for itself, and reads it at its own time too.

use sqlx::postgres::PgListener;

use super::{Pools, Store, failure};
use crate::error::Result;

/// The channel that [`super::Tx`] notifies when it appends to the feed.
const CHANNEL: &str = "chancery_feed";

/// News that the feed has grown.
#[derive(Debug)]
pub struct Wake(Option<PgListener>);

impl Store {
    /// Listens for growth of the feed, over a connection of its own. On SQLite nothing ever comes.
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
    /// If the connection was lost; listen again.
    pub async fn grown(&mut self) -> Result<()> {
        let Some(listener) = &mut self.0 else { return std::future::pending().await };
        // A lost connection counts as growth: something may have been missed.
        listener.try_recv().await.map_err(failure)?;
        // One look at the feed answers all that came meanwhile.
        while listener.next_buffered().is_some() {}
        Ok(())
    }
}
