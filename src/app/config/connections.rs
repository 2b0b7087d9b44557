//! How many connections the listeners keep open, and for how long.

use std::time::Duration;

use chancery_guard::listener::Limits;

use super::setting::section;
use crate::app::machine::Machine;

/// Upper bound of a cap, far beyond any practical use.
const MOST: u32 = 100_000;
/// The default cap where there are plenty of open files. A connection takes some ten KiB.
const USUAL: u64 = 4096;
/// Open files that are kept for everything else: the database takes up to 50, and its pools, logs and mail the rest.
const RESERVE: u64 = 80;
/// A cap that still serves a few clients.
const LEAST: u64 = 8;
/// The cap of the telemetry listener, which few clients call.
const TELEMETRY: u64 = 64;
/// Within this time a client on a bad line has sent a request.
const HEADER_SECONDS: u32 = 10;
/// More than the minute after which the usual proxies close an idle connection. A proxy that believes that a
/// connection is open while we close it loses a request.
const IDLE_SECONDS: u32 = 120;
/// Half an hour: often enough for a new server to get its share, too rare to be noticed.
const CONNECTION_AGE: u32 = 1800;
/// Nobody waits longer for a stop.
const MOST_DRAIN: u32 = 600;
/// A day.
const MOST_SECONDS: u32 = 86400;

section! {
    /// Connections
    ConnectionsDraft;
    /// Connections that the gRPC listener keeps open, and the HTTP listener and the check likewise
    max_connections: u32 as "N" = format_args!("{USUAL}, or fewer where fewer files may be open");
    /// Connections of one IPv4 address or one /64 of IPv6 at each listener; 0 for no such limit. Loopback has none
    max_connections_per_address: u32 as "N" = "half of max_connections";
    /// Seconds that a client may take to send the headers of a request
    header_seconds: u32 as "SECONDS" = HEADER_SECONDS;
    /// Seconds that a connection without a request stays open
    idle_seconds: u32 as "SECONDS" = IDLE_SECONDS;
    /// Seconds after which a client of HTTP/2 (so of gRPC) is told to open a new connection, so that clients spread over all servers again; 0 for never
    connection_age: u32 as "SECONDS" = CONNECTION_AGE;
    /// Seconds that a server goes on answering after it was told to stop and has said so at `/readyz`
    drain: u32 as "SECONDS" = 0;
}

/// The limits of the listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Those of the gRPC listener, of the HTTP listener and of the check.
    pub public: Limits,
    /// Those of the telemetry listener.
    pub telemetry: Limits,
    /// How long everything goes on after the signal to stop.
    pub drain: Duration,
}

impl ConnectionsDraft {
    /// Fills in defaults, compares the result with the machine and collects all problems.
    pub(super) fn check(&mut self, machine: Machine, listeners: u64, problems: &mut Vec<String>) -> Connections {
        for (setting, least, most) in [
            (&self.max_connections, 1, MOST),
            (&self.max_connections_per_address, 0, MOST),
            (&self.header_seconds, 1, MOST_SECONDS),
            (&self.idle_seconds, 1, MOST_SECONDS),
            (&self.connection_age, 0, MOST_SECONDS),
            (&self.drain, 0, MOST_DRAIN),
        ] {
            if let Some(value) = setting.get().filter(|v| !(least..=most).contains(*v)) {
                problems.push(setting.problem(format_args!("{value} is not between {least} and {most}")));
            }
        }
        let files = machine.open_files.unwrap_or(u64::MAX).saturating_sub(RESERVE);
        let telemetry = (files / 6).clamp(LEAST, TELEMETRY);
        let available = (files.saturating_sub(telemetry) / listeners).max(LEAST);
        if let Some(given) = self.max_connections.get().filter(|given| u64::from(**given) > available) {
            let needed = listeners * u64::from(*given) + telemetry + RESERVE;
            let number = ["one listener", "two listeners", "three listeners"];
            let number =
                usize::try_from(listeners).ok().and_then(|n| number.get(n.saturating_sub(1))).unwrap_or(&"all");
            problems.push(self.max_connections.problem(format_args!(
                "{given} connections of {number} and everything else take {needed} open files, and this process \
                 may open {}; set at most {available}, or raise the limit on open files (ulimit -n)",
                machine.open_files.unwrap_or(0)
            )));
        }
        let usual = u32::try_from(available.min(USUAL)).unwrap_or(MOST);
        let connections = self.max_connections.or(usual);
        let per_address = self.max_connections_per_address.or(connections.div_ceil(2));
        let public = Limits {
            connections: connections as usize,
            per_address: per_address as usize,
            head: Duration::from_secs(self.header_seconds.or(HEADER_SECONDS).into()),
            idle: Duration::from_secs(self.idle_seconds.or(IDLE_SECONDS).into()),
            age: Some(self.connection_age.or(CONNECTION_AGE))
                .filter(|age| *age > 0)
                .map(|age| Duration::from_secs(age.into())),
            ..Limits::default()
        };
        let telemetry = usize::try_from(telemetry).unwrap_or(usize::MAX);
        Connections {
            public,
            drain: Duration::from_secs(self.drain.or(0).into()),
            telemetry: Limits { connections: telemetry, per_address: telemetry.div_ceil(2), ..public },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::Draft;

    fn machine(open_files: u64) -> Machine {
        Machine { cores: 1, memory: None, open_files: Some(open_files) }
    }

    fn checked(set: &[(&str, &str)], open_files: u64) -> Result<Connections, Vec<String>> {
        let mut draft = Draft::default();
        draft.read_variables(set.iter().map(|(name, value)| (format!("CHANCERY_{name}").into(), (*value).into())));
        draft.for_server(false, machine(open_files)).map(|config| config.connections)
    }

    #[test]
    fn the_caps_leave_open_files_for_the_database() {
        for files in [128, 256, 1024, 4096, 10_000, 1 << 20] {
            let Connections { public, telemetry, .. } = checked(&[], files).unwrap();
            let all = 2 * public.connections + telemetry.connections;
            assert!(all as u64 + RESERVE <= files, "{files}: {public:?}");
            assert!(public.connections >= 20 && public.per_address * 2 >= public.connections);
        }
        assert_eq!(checked(&[], 128).unwrap().public.connections, 20);
        assert_eq!(checked(&[], 1 << 20).unwrap().public.connections, 4096);
        assert_eq!(checked(&[], 1 << 20).unwrap().telemetry.connections, 64);
        // Too few to serve anybody well, but enough to answer.
        assert_eq!(checked(&[], 64).unwrap().public.connections, 8);
    }

    #[test]
    fn a_cap_that_the_limit_on_open_files_does_not_allow_is_refused_with_one_that_it_does() {
        let problems = checked(&[("MAX_CONNECTIONS", "5000")], 1024).unwrap_err();
        assert_eq!(
            problems,
            ["CHANCERY_MAX_CONNECTIONS: 5000 connections of two listeners and everything else take 10144 open files, \
              and this process may open 1024; set at most 440, or raise the limit on open files (ulimit -n)"]
        );
        assert_eq!(checked(&[("MAX_CONNECTIONS", "440")], 1024).unwrap().public.connections, 440);
        for (name, value) in [("MAX_CONNECTIONS", "0"), ("HEADER_SECONDS", "0"), ("IDLE_SECONDS", "86401")] {
            assert_eq!(checked(&[(name, value)], 1024).unwrap_err().len(), 1, "{name}");
        }
    }
}
