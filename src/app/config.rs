//! Configuration: a TOML file, `CHANCERY_…` variables and flags make a [`Draft`], which is checked as a whole.
//! Each section declares its settings and checks them. Imports no other part of `app` but `machine`.

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
    database::Database,
    draft::{Draft, FILE_VARIABLE, sections},
    flags::{PlaceFlags, ServerFlags},
    hashing::Hashing,
    listen::Listen,
    log::{Log, LogFormat},
    mail::Mail,
    setting::Key,
};
use super::machine::Machine;

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Whether this is the demo.
    pub dev: bool,
    /// Whether an older schema on PostgreSQL is brought up to date at start.
    pub migrate: bool,
    /// Directory of the database and the sealing key.
    pub database: Database,
    /// Where the server listens, and what it is called.
    pub listen: Listen,
    /// What is logged, and how.
    pub log: Log,
    /// How much of the machine hashing may take.
    pub hashing: Hashing,
    /// How mails are sent; nothing for a process that sends none.
    pub mail: Option<Mail>,
    /// Every setting with the value that counts, without secrets.
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

    /// The same for a command, which may run elsewhere than the server, hashes one password at most and sends no
    /// mail: it needs none of the files that mail needs.
    ///
    /// # Errors
    /// Every problem, each with where it was set.
    pub fn for_command(self) -> Result<Config, Vec<String>> {
        self.check(false, Machine::of_a_command(), false)
    }

    fn check(mut self, dev: bool, machine: Machine, sends_mail: bool) -> Result<Config, Vec<String>> {
        let mut problems = std::mem::take(&mut self.problems);
        let database = self.database.check(dev, &mut problems);
        let listen = self.listen.check(dev, &mut problems);
        let log = self.log.check(&mut problems);
        let hashing = self.hashing.check(machine, &mut problems);
        let mail = if sends_mail { self.mail.check(&mut problems) } else { None };
        let config = Config { dev, migrate: false, database, listen, log, hashing, mail, shown: self.shown() };
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests;
