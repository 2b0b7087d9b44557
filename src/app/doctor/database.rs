//! The database and its clock, and the disk below.

use super::{Config, Finding};
use crate::{
    error::Result,
    service::Service,
    store::{Durability, Location, Schema},
    time::{Clock, SystemClock},
};

/// A difference between clocks that nobody notices, in milliseconds: tokens are accepted 30 s late and early.
const SMALL_DIFFERENCE: i64 = 2000;

pub(super) async fn examine(config: &Config, service: &Service) -> Vec<Finding> {
    match read(config, service).await {
        Ok(findings) => findings,
        Err(error) => vec![Finding::problem("database", super::super::database::explain(&error).to_string())],
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
    let (engine, version) = match location {
        Location::Sqlite(_) => ("SQLite", checkup.version),
        Location::Postgres(_) => ("PostgreSQL", checkup.version),
    };
    let schema = match service.store().schema().await? {
        Schema::Missing => 0,
        Schema::Older { have, .. } | Schema::Current(have) => have,
    };
    let mut findings = vec![Finding::good(
        "database",
        format!("{location}: {engine} {version}, schema {schema}, which this binary has too"),
    )];
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
fn of_disk(path: &std::path::Path) -> Finding {
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
    let free = found.f_bavail.saturating_mul(u64::try_from(found.f_bsize).unwrap_or(0)) >> 20;
    if free < 100 {
        return Finding::warning("durability", format!("{free} MiB are left on the disk of the database"));
    }
    Finding::good("durability", format!("each commit is on the disk, which has {free} MiB left"))
}

#[cfg(not(target_os = "linux"))]
fn of_disk(_: &std::path::Path) -> Finding {
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

    #[cfg(target_os = "linux")]
    #[test]
    fn a_database_in_memory_is_a_problem() {
        if std::path::Path::new("/dev/shm").is_dir() {
            assert_eq!(of_disk(std::path::Path::new("/dev/shm")).level, Level::Problem);
        }
    }
}
