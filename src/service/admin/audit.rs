//! Reads and follows the audit log.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    domain::{
        audit::{AuditEvent, AuditFilter},
        permission::AUDIT_READ,
    },
    error::{Error, Result},
    id::AuditEventId,
    service::{
        access::{Admin, Callers, RequestContext},
        runtime::Live,
    },
    store::Store,
    time::{Timestamp, Ttl},
};

/// How often a watcher polls for new events.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// An event may be committed this long after its own timestamp.
const COMMIT_LAG: Ttl = Ttl::from_secs(30);
/// Maximum events per page.
const PAGE: i64 = 500;
/// Maximum events in one message to a watcher.
const BATCH: usize = 500;
/// Maximum events within [`COMMIT_LAG`] that a watcher can follow: some 30 MB.
const MAX_RECENT: usize = 100_000;

/// The audit log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    store: Store,
    live: Arc<Live>,
    callers: Callers,
}

impl Audit {
    pub(in crate::service) fn new(store: Store, live: Arc<Live>, callers: Callers) -> Self {
        Self { store, live, callers }
    }

    /// Events that match the filter, newest first: at most `limit`, older than `before`.
    ///
    /// # Errors
    /// A violation of `page_token` or `filter` if events of the time that is asked for have been deleted; if the
    /// database is unreachable.
    pub async fn list(
        &self,
        _: &Admin,
        filter: &AuditFilter,
        before: Option<&AuditEventId>,
        limit: i64,
    ) -> Result<Vec<AuditEvent>> {
        let mut tx = self.store.report().await?;
        if (before.is_some() || filter.since.is_some() || filter.until.is_some())
            && let Some(kept_since) = tx.audit_deleted_before().await?
        {
            check_kept(filter, before, kept_since)?;
        }
        tx.audit_page(filter, before, limit).await
    }

    /// Reads all events from `since` on and before `until`, oldest first.
    #[must_use]
    pub fn export(&self, _: &Admin, since: Option<Timestamp>, until: Option<Timestamp>) -> AuditExport {
        AuditExport { audit: self.clone(), since, until, last: None, deleted_before: None, begun: false }
    }

    /// Follows new events.
    #[must_use]
    pub fn watch(&self, ctx: &RequestContext, admin: &Admin, filter: AuditFilter) -> AuditWatcher {
        AuditWatcher {
            audit: self.clone(),
            admin: admin.clone(),
            filter,
            started_at: ctx.now,
            unsent: VecDeque::new(),
            seen: BTreeSet::new(),
        }
    }
}

/// Fails if what is asked for has been deleted, even in part: the answer would look complete. Who asks for no time gets
/// what is kept.
fn check_kept(filter: &AuditFilter, before: Option<&AuditEventId>, kept_since: Timestamp) -> Result<()> {
    let first = AuditEventId::first_at(kept_since);
    if before.is_some_and(|before| *before <= first) {
        let text = format!("the list ends here: the events before {kept_since} have been deleted meanwhile");
        return Err(Error::invalid("page_token", text));
    }
    if filter.until.is_some_and(|until| until <= kept_since) {
        return Err(Error::invalid("filter", format!("the events before {kept_since} have been deleted")));
    }
    if filter.since.is_some_and(|since| since < kept_since) {
        let text = format!("the events before {kept_since} have been deleted; ask for those since then");
        return Err(Error::invalid("filter", text));
    }
    Ok(())
}

/// All events of a span of time, page by page.
#[derive(Debug)]
pub struct AuditExport {
    audit: Audit,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    last: Option<AuditEventId>,
    deleted_before: Option<Timestamp>,
    begun: bool,
}

impl AuditExport {
    /// The next events, oldest first; none at the end.
    ///
    /// # Errors
    /// [`Error::Precondition`] if events that were to come have been deleted since the export began; if the database is
    /// unreachable.
    pub async fn next(&mut self) -> Result<Vec<AuditEvent>> {
        let mut tx = self.audit.store.report().await?;
        let deleted_before = tx.audit_deleted_before().await?;
        if !self.begun {
            self.deleted_before = deleted_before;
        } else if let Some(at) = deleted_before.filter(|_| deleted_before != self.deleted_before)
            && self.last.as_ref().is_none_or(|last| *last < AuditEventId::first_at(at))
        {
            return Err(Error::Precondition(format!(
                "events before {at} were deleted while they were exported; export them again"
            )));
        }
        self.begun = true;
        let page = tx.audit_oldest((self.since, self.until), self.last.as_ref(), PAGE).await?;
        if let Some(newest) = page.last() {
            self.last = Some(newest.id.clone());
        }
        Ok(page)
    }

    /// The time before which events of this span had been deleted when the export began.
    #[must_use]
    pub fn incomplete_before(&self) -> Option<Timestamp> {
        self.deleted_before.filter(|at| self.since.is_none_or(|since| since < *at))
    }
}

/// A stream of audit events.
#[derive(Debug)]
pub struct AuditWatcher {
    audit: Audit,
    admin: Admin,
    filter: AuditFilter,
    started_at: Timestamp,
    /// Events that were read and are still to be sent.
    unsent: VecDeque<AuditEvent>,
    /// Recently sent events. Needed because transactions may commit in a different order than their events'
    /// timestamps.
    seen: BTreeSet<AuditEventId>,
}

impl AuditWatcher {
    /// Waits for new events and returns some of them, oldest first.
    ///
    /// # Errors
    /// If the caller has lost its permission, the database cannot be reached, or there are too many events to follow.
    pub async fn next(&mut self) -> Result<Vec<AuditEvent>> {
        loop {
            self.audit.callers.reload_roles(&mut self.admin).await?;
            self.audit.callers.check_still_admitted(&self.admin, AUDIT_READ)?;
            let since = self.started_at.max(self.audit.live.now().minus(COMMIT_LAG));
            if self.unsent.is_empty() {
                self.unsent = self.poll(since).await?.into();
            }
            if !self.unsent.is_empty() {
                let batch = self.unsent.len().min(BATCH);
                return Ok(self.unsent.drain(..batch).collect());
            }
            self.wait().await;
        }
    }

    async fn poll(&mut self, since: Timestamp) -> Result<Vec<AuditEvent>> {
        let filter = AuditFilter { since: Some(since), ..self.filter.clone() };
        let (mut events, mut recent, mut before) = (Vec::new(), BTreeSet::new(), None);
        loop {
            // Recent events are never deleted, whatever the clock was when others were.
            let page = self.audit.store.report().await?.audit_page(&filter, before.as_ref(), PAGE).await?;
            let Some(oldest) = page.last() else { break };
            before = Some(oldest.id.clone());
            if recent.len() >= MAX_RECENT {
                return Err(Error::TooSlow);
            }
            for event in page {
                recent.insert(event.id.clone());
                if !self.seen.contains(&event.id) {
                    events.push(event);
                }
            }
        }
        self.seen = recent;
        events.reverse();
        Ok(events)
    }

    #[expect(clippy::disallowed_methods, reason = "the audit has nobody who says that it has grown")]
    async fn wait(&self) {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
