//! The database and its clock, whether it takes changes, and the disk below.

use std::path::Path;

use super::{
    super::{data_dir, database::explain},
    Config, Finding,
};
use crate::{
    error::Result,
    service::Service,
    store::{Checkup, Durability, Location, ReadOnly, Schema, Store},
    time::{Clock, SystemClock},
};

/// A difference between clocks that nobody notices, in milliseconds: tokens are accepted 30 s late and early.
const SMALL_DIFFERENCE: i64 = 2000;

const ABOUT: &str = "database";

pub(super) async fn examine(config: &Config, service: &Service) -> Vec<Finding> {
    match read(config, service).await {
        Ok(findings) => findings,
        Err(error) => vec![Finding::problem(ABOUT, explain(&error).to_string())],
    }
}

async fn read(config: &Config, service: &Service) -> Result<Vec<Finding>> {
    let location = &config.database.location;
    let mut tx = service.store().read().await?;
    let checkup = tx.checkup().await?;
    let before = SystemClock.now().millis();
    let database = tx.database_time().await?.map(crate::time::Timestamp::millis);
    let after = SystemClock.now().millis();
    drop(tx);
    let engine = match location {
        Location::Sqlite(_) => "SQLite",
        Location::Postgres(_) => "PostgreSQL",
    };
    let version = &checkup.version;
    let schema = match service.store().schema().await? {
        Schema::Missing => 0,
        Schema::Older { have, .. } | Schema::Current(have) => have,
    };
    let said = format!("{location}: {engine} {version}, schema {schema}, which this binary has too");
    let mut findings = vec![Finding::good(ABOUT, said)];
    findings.extend(refuses_changes(service.store(), location, &checkup).await);
    match database {
        Some(database) => findings.push(clock(database - before.midpoint(after))),
        None => findings.push(Finding::good("clock", "the database uses this machine's clock")),
    }
    match (&checkup.durability, location) {
        (Some(durability), _) => findings.push(of_postgres(durability)),
        (None, Location::Sqlite(path)) => findings.push(of_disk(path)),
        (None, Location::Postgres(_)) => {}
    }
    Ok(findings)
}

/// Whether a file that could not be opened has a disk that holds it. Nothing of one that is not there.
pub(super) fn disk(config: &Config) -> Option<Finding> {
    match &config.database.location {
        Location::Sqlite(path) if path.exists() => Some(of_disk(path)),
        _ => None,
    }
}

/// Why the database takes no changes, if it takes none. A change is tried and taken back.
async fn refuses_changes(store: &Store, location: &Location, checkup: &Checkup) -> Option<Finding> {
    let folder = if let Location::Sqlite(path) = location { unwritable_folder(path) } else { None };
    let why = match (checkup.read_only, folder) {
        (Some(ReadOnly::Standby), _) => {
            "it is a standby, which follows another server: name the primary in the URL, or promote this one".to_owned()
        }
        (Some(ReadOnly::ByDefault), _) => {
            "default_transaction_read_only is on, for the server, the database or the role: reset it".to_owned()
        }
        (None, Some(why)) => why,
        (None, None) => explain(&store.rehearse_change().await.err()?).to_string(),
    };
    let what = format!("{location} takes no changes, so that nobody can sign in or refresh: {why}");
    Some(Finding::problem(ABOUT, what))
}

/// Why SQLite cannot keep its log beside the database, if it cannot.
fn unwritable_folder(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let error = data_dir::may_write(folder).err()?;
    Some(format!("files cannot be made in {}, where its log has to be: {error}", folder.display()))
}

/// `ahead` is by how many milliseconds the database's clock is ahead of this machine's.
fn clock(ahead: i64) -> Finding {
    let direction = if ahead < 0 { "behind" } else { "ahead of" };
    let (seconds, millis) = (ahead.abs() / 1000, ahead.abs() % 1000);
    let said = format!("the database's is {seconds}.{millis:03} s {direction} this machine's");
    if ahead.abs() < SMALL_DIFFERENCE {
        return Finding::good("clock", said);
    }
    Finding::warning(
        "clock",
        format!("{said}: servers follow the database's, verifiers their own; is NTP running on both?"),
    )
}

fn of_postgres(durability: &Durability) -> Finding {
    let Durability { fsync, full_page_writes, synchronous_commit } = durability;
    if !fsync || !full_page_writes {
        let which = if *fsync { "full_page_writes" } else { "fsync" };
        return Finding::problem(
            "durability",
            format!("{which} is off: a crash of its machine can destroy the database"),
        );
    }
    if synchronous_commit == "off" {
        let what = "synchronous_commit is off: a crash of PostgreSQL loses the newest changes, log-outs among them";
        return Finding::warning("durability", what);
    }
    Finding::good(
        "durability",
        format!("fsync and full_page_writes are on, synchronous_commit is {synchronous_commit}"),
    )
}

#[cfg(target_os = "linux")]
fn of_disk(path: &Path) -> Finding {
    /// Numbers of file systems (statfs(2)): those in memory, and those of a network.
    const MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];
    const NETWORK: [i64; 4] = [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997];
    let Ok(found) = rustix::fs::statfs(path) else {
        return Finding::warning("durability", "the file system of the database cannot be told");
    };
    // The type of this number differs between machines.
    #[allow(clippy::allow_attributes, clippy::unnecessary_cast, clippy::useless_conversion, reason = "as just said")]
    let kind = found.f_type as i64;
    if MEMORY.contains(&kind) {
        return Finding::problem("durability", "the database is in memory (tmpfs): it is lost when the machine stops");
    }
    if NETWORK.contains(&kind) {
        let what = "the database is on a network file system, which SQLite's locks cannot rely on: move it to a disk of \
                    this machine, or use PostgreSQL";
        return Finding::problem("durability", what);
    }
    of_space(found.f_bavail.saturating_mul(u64::try_from(found.f_bsize).unwrap_or(0)))
}

/// So many bytes are left for the database.
#[cfg(any(target_os = "linux", test))]
fn of_space(free: u64) -> Finding {
    let mib = free >> 20;
    match mib {
        0 => Finding::problem(
            "durability",
            format!(
                "the disk of the database is full: {} KiB are left, and the next changes will be refused",
                free >> 10
            ),
        ),
        1..100 => Finding::warning("durability", format!("{mib} MiB are left on the disk of the database")),
        _ => Finding::good("durability", format!("each commit is on the disk, which has {mib} MiB left")),
    }
}

#[cfg(not(target_os = "linux"))]
fn of_disk(_: &Path) -> Finding {
    Finding::good("durability", "each commit is on the disk")
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn what_can_be_lost_is_said() {
        let level = |fsync, full_page_writes, commit: &str| {
            of_postgres(&Durability { fsync, full_page_writes, synchronous_commit: commit.to_owned() }).level
        };
        assert_eq!(level(true, true, "on"), Level::Good);
        assert_eq!(level(true, true, "remote_apply"), Level::Good);
        assert_eq!(level(true, true, "off"), Level::Warning);
        assert_eq!((level(false, true, "on"), level(true, false, "on")), (Level::Problem, Level::Problem));
    }

    #[test]
    fn clocks_may_differ_a_little() {
        assert_eq!((clock(-1999).level, clock(2000).level), (Level::Good, Level::Warning));
        assert!(clock(-1001).what.contains("1.001 s behind"));
    }

    #[test]
    fn a_disk_that_is_full_or_nearly_so_is_said() {
        let level = |free| of_space(free).level;
        assert_eq!((level(0), level((1 << 20) - 1)), (Level::Problem, Level::Problem));
        assert_eq!((level(1 << 20), level((100 << 20) - 1)), (Level::Warning, Level::Warning));
        assert_eq!(level(100 << 20), Level::Good);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_database_in_memory_is_a_problem() {
        if Path::new("/dev/shm").is_dir() {
            assert_eq!(of_disk(Path::new("/dev/shm")).level, Level::Problem);
        }
    }
}
