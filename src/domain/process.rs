//! A server that runs on a database, as it says of itself.

use crate::{
    id::ProcessId,
    time::{Timestamp, Ttl},
};

/// How often a process says that it runs.
pub const SAID_EVERY: Ttl = Ttl::from_secs(10);
/// A process that has said nothing for this long does not run any more, or is cut off from the database and signs nothing.
pub const ALIVE_FOR: Ttl = Ttl::from_secs(30);
/// A process that has said nothing for this long is forgotten.
pub const FORGOTTEN_AFTER: Ttl = Ttl::from_days(1);
/// More than any deployment has. Others that run are not listed.
pub const MOST_PROCESSES: usize = 1000;
/// The longest name of a host that is kept.
pub const MAX_HOST: usize = 255;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id. Each start gets a new one.
    pub id: ProcessId,
    /// The version of its binary.
    pub version: String,
    /// The number by which a database tells binaries that are too old for it.
    pub binary_version: i64,
    /// The name of its host; empty if it is not known.
    pub host: String,
    /// The versions of the sealing key that it holds.
    pub sealing_versions: Vec<i64>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it last said so.
    pub seen_at: Timestamp,
}

/// How many are named where people read it.
const NAMED: usize = 10;

/// Names of processes, for people: the first of them, and how many more there are.
#[must_use]
pub fn named(names: &[String]) -> String {
    let first = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

impl Process {
    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> String {
        if self.host.is_empty() { self.id.to_string() } else { format!("{} on {}", self.id, self.host) }
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_few_are_named_and_the_rest_is_counted() {
        let names: Vec<_> = (0..12).map(|n| format!("p{n}")).collect();
        assert_eq!(named(&[]), "");
        assert_eq!(named(&names[..2]), "p0, p1");
        assert_eq!(named(&names), "p0, p1, p2, p3, p4, p5, p6, p7, p8, p9 and 2 more");
    }
}
