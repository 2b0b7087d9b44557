//! What each migration does to a database that is in use. A test compares the locks with those that PostgreSQL takes.

/// The strongest lock that a migration takes on a table that was there before, by PostgreSQL's names. It is held until
/// all migrations are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableLock {
    /// Reads and changes go on.
    ShareUpdateExclusive,
    /// Reads go on, changes wait.
    Share,
    /// Reads go on, changes wait.
    ShareRowExclusive,
    /// Everything waits.
    AccessExclusive,
}

impl TableLock {
    /// Its name in PostgreSQL's documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// What waits for it.
    #[must_use]
    pub const fn blocks(self) -> &'static str {
        match self {
            Self::ShareUpdateExclusive => "nothing",
            Self::Share | Self::ShareRowExclusive => "changes",
            Self::AccessExclusive => "reads and changes",
        }
    }
}

/// What a migration does to a table that was there before.
#[derive(Clone, Copy, Debug)]
pub struct Touched {
    /// Its name.
    pub table: &'static str,
    /// The statement that counts its rows.
    pub(super) count: &'static str,
    /// The strongest lock.
    pub lock: TableLock,
    /// How often all rows are read, to build an index or to delete some.
    pub passes: i64,
}

/// What there is to know about a migration.
#[derive(Clone, Copy, Debug)]
pub struct MigrationNote {
    /// Its number.
    pub version: i64,
    /// What it does, in a sentence.
    pub does: &'static str,
    /// The tables that were there before.
    pub touches: &'static [Touched],
    /// The `min_binary` that it writes.
    pub min_binary: Option<i64>,
}

macro_rules! notes {
    ($($version:literal $does:literal [$($table:literal $lock:ident $passes:literal),*];)*) => {
        &[$(MigrationNote {
            version: $version,
            does: $does,
            touches: &[$(Touched {
                table: $table,
                count: concat!("SELECT count(*) FROM ", $table),
                lock: TableLock::$lock,
                passes: $passes,
            }),*],
            min_binary: None,
        },)*]
    };
}

/// One for each migration.
pub const MIGRATION_NOTES: &[MigrationNote] = notes! {
    1 "Makes the first tables." [];
    2 "Gives sessions and clients a place in status lists." [
        "sessions" AccessExclusive 1, "clients" AccessExclusive 0, "feed_entries" AccessExclusive 0
    ];
    3 "Leaves room on the pages of sessions that are written from now on, so that a refresh stays on its page." [
        "sessions" ShareUpdateExclusive 0
    ];
    4 "Adds roles, revisions of clients, and who did what through which client." [
        "users" AccessExclusive 0, "clients" AccessExclusive 0, "audit_events" AccessExclusive 2
    ];
    5 "Adds the queue of outgoing mails." [];
    6 "Adds the counts of failed sign-ins." [];
    8 "Adds links and codes from mails, and passwords that must be changed." [
        "users" ShareRowExclusive 0, "passwords" AccessExclusive 0
    ];
    9 "Adds published keys of other issuers." [];
    10 "Builds the index of sessions by client anew." ["sessions" AccessExclusive 1];
    11 "Notes what a link or code is about." ["tickets" AccessExclusive 1];
    12 "Gives logins an order, and deletes user names that are other people's addresses." ["logins" AccessExclusive 1];
    13 "Adds sessions behind cookies and what they may hold; on SQLite, writes all sessions anew." [
        "sessions" AccessExclusive 1, "users" ShareRowExclusive 0, "tickets" AccessExclusive 0, "clients" AccessExclusive 1
    ];
    14 "Notes the language of users." ["users" AccessExclusive 0];
    15 "Adds second factors, passkeys and guests." [
        "users" AccessExclusive 1, "roles" AccessExclusive 0, "sessions" Share 1
    ];
    16 "Adds the use of versions of the sealing key, and the list of running servers." [
        "instance" AccessExclusive 0, "sealing_keys" AccessExclusive 1
    ];
    17 "Notes what applied files have declared." [];
};
