//! The feed: its counter row and its entries.

use super::{
    engine::{Sql, Tx, all, execute, optional},
    failure::corrupt,
};
use crate::{
    domain::{
        feed::{Change, Entry, Head},
        status_list::StatusIndex,
    },
    error::{Error, Result},
    time::Timestamp,
};

#[derive(sqlx::FromRow)]
struct HeadRow {
    epoch: String,
    seq: i64,
    tag: String,
    database_time: Option<i64>,
    read_only: bool,
}

/// The head of the feed; the time of PostgreSQL's clock, which all processes on one database follow; and whether that
/// server takes no changes, as a standby does. Asking whether this transaction is read-only would be of no use: it is.
const HEAD: Sql = Sql {
    sqlite: "SELECT epoch, seq, tag, CAST(NULL AS INTEGER) AS database_time, false AS read_only FROM feed WHERE id = 1",
    postgres: "SELECT epoch, seq, tag, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS database_time, \
        pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only \
        FROM feed WHERE id = 1",
};

const DATABASE_TIME: Sql = Sql {
    sqlite: "SELECT CAST(NULL AS INTEGER)",
    postgres: "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
};

#[derive(sqlx::FromRow)]
struct EntryRow {
    seq: i64,
    tag: String,
    kind: String,
    subject: String,
    at: i64,
    ends_at: i64,
    status_list: Option<i64>,
    status_index: Option<i64>,
}

impl TryFrom<EntryRow> for Entry {
    type Error = Error;
    fn try_from(row: EntryRow) -> Result<Self> {
        let kind = row.kind.parse().map_err(|_| corrupt("feed_entries", "kind", &row.seq.to_string()))?;
        let (at, ends_at) = (Timestamp::from_millis(row.at), Timestamp::from_millis(row.ends_at));
        let status = StatusIndex::from_columns(row.status_list, row.status_index);
        Ok(Self { seq: row.seq, tag: row.tag, change: Change { kind, subject: row.subject, at, ends_at, status } })
    }
}

impl Tx {
    /// A random tag for an entry or an epoch.
    pub(super) fn random_tag(&self) -> String {
        self.entropy.bytes16().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Numbers the changes and appends them. The counter is advanced once, by the number of changes.
    pub(super) async fn feed_append(&mut self, changes: &[Change]) -> Result<()> {
        let tags: Vec<String> = changes.iter().map(|_| self.random_tag()).collect();
        let count = i64::try_from(changes.len()).unwrap_or(i64::MAX);
        let newest = tags.last().cloned().unwrap_or_default();
        // PostgreSQL notifies the other processes when this commits.
        const TAKE: Sql = Sql {
            sqlite: "UPDATE feed SET seq = seq + $1, tag = $2 WHERE id = 1 RETURNING seq",
            postgres: "UPDATE feed SET seq = seq + $1, tag = $2 WHERE id = 1 \
                RETURNING seq, CAST(pg_notify('chancery_feed', '') AS TEXT)",
        };
        let taken = optional!(self, (i64,), TAKE, count, &newest)?;
        let (last,) = taken.ok_or_else(|| Error::Internal("the feed has no counter row".into()))?;
        for (n, (change, tag)) in (last - count + 1..).zip(changes.iter().zip(&tags)) {
            const SQL: &str = "INSERT INTO feed_entries (seq, tag, kind, subject, at, ends_at, status_list, \
                status_index) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
            let status = StatusIndex::columns(change.status);
            execute!(
                self,
                SQL,
                n,
                tag,
                change.kind.as_str(),
                &change.subject,
                change.at.millis(),
                change.ends_at.millis(),
                status.0,
                status.1
            )?;
        }
        Ok(())
    }

    /// The head of the feed, and the time of the database's clock if machines share one. Nothing if the database is
    /// not claimed yet.
    pub async fn feed_head(&mut self) -> Result<Option<(Head, Option<Timestamp>)>> {
        let row = optional!(self, HeadRow, HEAD)?;
        self.set_read_only(row.as_ref().is_some_and(|r| r.read_only));
        Ok(row.map(|r| (Head { epoch: r.epoch, seq: r.seq, tag: r.tag }, r.database_time.map(Timestamp::from_millis))))
    }

    /// The time of the database's clock; nothing on SQLite, which uses the machine's.
    pub async fn database_time(&mut self) -> Result<Option<Timestamp>> {
        let row = optional!(self, (Option<i64>,), DATABASE_TIME)?;
        Ok(row.and_then(|(ms,)| ms).map(Timestamp::from_millis))
    }

    /// The entries from number `from` on, in order.
    pub async fn feed_from(&mut self, from: i64) -> Result<Vec<Entry>> {
        const SQL: &str = "SELECT seq, tag, kind, subject, at, ends_at, status_list, status_index FROM feed_entries WHERE seq >= $1 ORDER BY seq";
        all!(self, EntryRow, SQL, from)?.into_iter().map(Entry::try_from).collect()
    }

    /// The entries that have not expired at `now`, in order.
    pub async fn feed_live(&mut self, now: Timestamp) -> Result<Vec<Entry>> {
        const SQL: &str = "SELECT seq, tag, kind, subject, at, ends_at, status_list, status_index FROM feed_entries WHERE ends_at > $1 ORDER BY seq";
        all!(self, EntryRow, SQL, now.millis())?.into_iter().map(Entry::try_from).collect()
    }

    /// Writes the head of the feed as it is.
    pub(super) async fn feed_touch(&mut self) -> Result<()> {
        execute!(self, "UPDATE feed SET seq = seq WHERE id = 1").map(|_| ())
    }

    /// Replaces the epoch `old` by a new one. Returns whether this call did it.
    pub async fn feed_new_epoch(&mut self, old: &str) -> Result<bool> {
        let new = self.random_tag();
        Ok(execute!(self, "UPDATE feed SET epoch = $1 WHERE id = 1 AND epoch = $2", new, old)? == 1)
    }

    /// Deletes entries that expired before `now`. The newest entry made before `known_since` is kept, and all later
    /// ones: every process has seen it by then, and its tag reveals a restored database.
    pub async fn feed_forget(&mut self, now: Timestamp, known_since: Timestamp) -> Result<u64> {
        const SQL: &str =
            "DELETE FROM feed_entries WHERE ends_at < $1 AND seq < (SELECT max(seq) FROM feed_entries WHERE at < $2)";
        execute!(self, SQL, now.millis(), known_since.millis())
    }
}
