//! Configuration. A TOML file, `CHANCERY_…` variables and flags fill a [`Draft`], which is checked as a whole. Each
//! section declares and checks its settings. Imports no other part of `app` except `machine`.

mod connections;
mod database;
mod draft;
mod flags;
mod hashing;
mod listen;
mod log;
mod mail;
mod setting;
mod value;

use serde_json::{Map, Value as Json};

pub(crate) use self::listen::issuer_problem;
pub use self::{
    connections::Connections,
    database::Database,
    draft::{Draft, FILE_VARIABLE, sections},
    flags::{DatabaseFlags, ServerFlags},
    hashing::Hashing,
    listen::Listen,
    log::{Log, LogFormat},
    mail::Mail,
    setting::Key,
};
use super::machine::Machine;
use crate::store::Location;

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Whether this is the demo.
    pub dev: bool,
    /// Whether to migrate an older PostgreSQL schema at startup.
    pub migrate: bool,
    /// Directory of the database and the sealing key.
    pub database: Database,
    /// Listener addresses and issuer.
    pub listen: Listen,
    /// How many connections are kept open, and for how long.
    pub connections: Connections,
    /// Log filter and format.
    pub log: Log,
    /// Resources for password hashing.
    pub hashing: Hashing,
    /// How mail is sent; `None` for processes that send no mail.
    pub mail: Option<Mail>,
    /// Every setting with its effective value, without secrets.
    pub shown: Map<String, Json>,
}

impl Draft {
    /// Fills in defaults and checks everything, for a server on this machine.
    ///
    /// # Errors
    /// Every problem, each with where it was set.
    pub fn for_server(self, dev: bool, machine: Machine) -> Result<Config, Vec<String>> {
        self.check(dev, machine, true)
    }

    /// The same for a command. A command may run on another machine than the server, hashes at most one password and
    /// sends no mail, so it does not need the mail files.
    ///
    /// # Errors
    /// Every problem, each with where it was set.
    pub fn for_command(self) -> Result<Config, Vec<String>> {
        self.check(false, Machine::for_command(), false)
    }

    fn check(mut self, dev: bool, machine: Machine, sends_mail: bool) -> Result<Config, Vec<String>> {
        let mut problems = std::mem::take(&mut self.problems);
        let database = self.database.check(dev, &mut problems);
        let listen = self.listen.check(dev, &mut problems);
        let connections = self.connections.check(machine, &mut problems);
        let log = self.log.check(&mut problems);
        let hashing = self.hashing.check(machine, &mut problems);
        let mail = if sends_mail { self.mail.check(&mut problems) } else { None };
        let mut shown = self.shown();
        if let Location::Postgres(url) = &database.location {
            shown.insert("database_tls".to_owned(), url.tls().to_string().into());
        }
        let config = Config { dev, migrate: false, database, listen, connections, log, hashing, mail, shown };
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests;
