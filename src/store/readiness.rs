//! Whether the database takes changes: it may be full, or have become a read-only standby.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Store, engine::execute};
use crate::error::Result;

/// What was last seen of the database.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    /// The last transaction for changes failed for want of the database.
    failing: AtomicBool,
    /// The server has said that it takes no changes.
    read_only: AtomicBool,
}

impl Readiness {
    pub(super) fn write_failed(&self) {
        self.failing.store(true, Ordering::Relaxed);
    }

    pub(super) fn write_succeeded(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }

    pub(super) fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::Relaxed);
    }
}

impl Store {
    /// Whether the database takes changes, as far as is known.
    #[must_use]
    pub fn takes_changes(&self) -> bool {
        let Readiness { failing, read_only } = &*self.reports.readiness;
        !failing.load(Ordering::Relaxed) && !read_only.load(Ordering::Relaxed)
    }

    /// After a failed change, tries one that alters nothing. Does nothing if the last change succeeded.
    ///
    /// # Errors
    /// If the database still takes no changes.
    pub async fn try_change(&self) -> Result<()> {
        if !self.reports.readiness.failing.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut tx = self.write().await?;
        execute!(tx, "UPDATE feed SET seq = seq WHERE id = 1")?;
        tx.commit().await.map(drop)
    }
}
