//! Configuration. A TOML file, `CHANCERY_…` variables and flags fill a [`Draft`], which is checked as a whole. Each
//! section declares and checks its settings. Imports no other part of `app` except `machine`.

mod application;
mod browser;
mod connections;
mod database;
mod declared;
mod draft;
mod flags;
mod hashing;
mod listen;
mod log;
mod mail;
mod named_file;
mod service_link;
mod setting;
mod tls;
mod value;

use std::{fmt, path::PathBuf};

use serde_json::{Map, Value as Json};

pub(crate) use self::listen::issuer_problem;
pub(super) use self::named_file::{read as read_named_file, read_text as read_named_text};
pub use self::{
    application::App,
    browser::Browser,
    connections::Connections,
    database::{Database, sealing_keys_in},
    draft::{Draft, FILE_VARIABLE, sections},
    flags::{DatabaseFlags, ServerFlags},
    hashing::Hashing,
    listen::Listen,
    log::{Log, LogFormat},
    mail::Mail,
    setting::Key,
    tls::{PerListener, Tls},
};
use super::machine::Machine;
use crate::store::Location;

/// A checked configuration.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Config {
    /// Whether this is the demo.
    pub dev: bool,
    /// Whether a demo makes a certificate for its listeners.
    pub dev_tls: bool,
    /// Whether to migrate an older PostgreSQL schema at startup.
    pub migrate: bool,
    /// Whether to make the sealing key of an empty PostgreSQL database.
    pub create_sealing_key: bool,
    /// Directory of the database and the sealing key.
    pub database: Database,
    /// Listener addresses and issuer.
    pub listen: Listen,
    /// The certificates of the listeners.
    pub tls: Tls,
    /// How many connections are kept open, and for how long.
    pub connections: Connections,
    /// Log filter and format.
    pub log: Log,
    /// Resources for password hashing.
    pub hashing: Hashing,
    /// How mail is sent; `None` for processes that send no mail.
    pub mail: Option<Mail>,
    /// The pages in a browser, and the check.
    pub browser: Browser,
    /// The file of what the database is to have.
    pub apply: Option<PathBuf>,
    /// The application that a demo stands in front of.
    pub app: Option<App>,
    /// Every setting with its effective value, without secrets.
    pub shown: Map<String, Json>,
}

impl fmt::Debug for Config {
    /// What `config show` prints: nothing secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("dev", &self.dev).field("shown", &self.shown).finish_non_exhaustive()
    }
}

/// A configuration and all that is wrong with it.
#[derive(Debug)]
pub struct Examined {
    /// The configuration, with defaults in place of what is wrong.
    pub config: Config,
    /// Every problem, each with where it was set.
    pub problems: Vec<String>,
    /// Whether the database, its key and its directory are those that were meant.
    pub database_is_readable: bool,
}

impl Draft {
    /// Fills in defaults and checks everything, for a server on this machine.
    ///
    /// # Errors
    /// Every problem, each with where it was set.
    pub fn for_server(self, dev: bool, machine: Machine) -> Result<Config, Vec<String>> {
        self.examine_server(dev, machine).result()
    }

    /// The same, with the configuration as far as it can be read, for further checks.
    #[must_use]
    pub fn examine_server(self, dev: bool, machine: Machine) -> Examined {
        self.examine(dev, machine, true)
    }

    /// The same for a command. A command may run on another machine than the server, hashes at most one password and
    /// sends no mail, so it does not need the mail files.
    ///
    /// # Errors
    /// Every problem, each with where it was set.
    pub fn for_command(self) -> Result<Config, Vec<String>> {
        self.examine(false, Machine::for_command(), false).result()
    }

    fn examine(mut self, dev: bool, machine: Machine, serves: bool) -> Examined {
        let mut problems = std::mem::take(&mut self.problems);
        let before = problems.len();
        let database = self.database.check(dev, self.credentials.as_deref(), &mut problems);
        let database_is_readable = problems.len() == before && !self.database.has_unreadable();
        let mut tls = self.tls.check(serves, &mut problems);
        let listen = self.listen.check((dev, self.anywhere), &tls, &mut problems);
        if serves && listen.check.is_none() {
            problems.extend(self.tls.idle_check());
            tls.check = None;
        }
        let listeners = 2 - u64::from(listen.is_shared()) + u64::from(listen.check.is_some());
        let connections = self.connections.check(machine, listeners, &mut problems);
        let log = self.log.check(&mut problems);
        let hashing = self.hashing.check(machine, &mut problems);
        let mail = if serves { self.mail.check(dev, &mut problems) } else { None };
        let browser = if serves { self.browser.check(dev, &listen, &mut problems) } else { Browser::default() };
        let apply = self.declared.apply.get().cloned();
        let mut shown = self.shown();
        if let Location::Postgres(url) = &database.location {
            shown.insert("database_tls".to_owned(), url.tls().to_string().into());
        }
        let (migrate, create_sealing_key) = (false, false);
        let config = Config {
            dev,
            dev_tls: false,
            migrate,
            create_sealing_key,
            database,
            listen,
            tls,
            connections,
            log,
            hashing,
            mail,
            browser,
            apply,
            app: None,
            shown,
        };
        Examined { config, problems, database_is_readable }
    }
}

impl Examined {
    fn result(self) -> Result<Config, Vec<String>> {
        if self.problems.is_empty() { Ok(self.config) } else { Err(self.problems) }
    }
}

#[cfg(test)]
mod tests;
