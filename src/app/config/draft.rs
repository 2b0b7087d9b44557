//! Settings before they are checked, from the file, the variables and the flags. Later sources override earlier ones.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value as Json};
use toml::de::{DeTable, DeValue};

use super::{
    browser::BrowserDraft,
    connections::ConnectionsDraft,
    database::DatabaseDraft,
    declared::DeclaredDraft,
    flags::{DatabaseFlags, ServerFlags},
    hashing::HashingDraft,
    listen::ListenDraft,
    log::LogDraft,
    mail::MailDraft,
    named_file,
    service_link::is_service_link,
    setting::{Key, Origin, PREFIX, Section, Slot},
    tls::TlsDraft,
    value::Form,
};

/// Where systemd puts a service's credentials.
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// The variable that names the file. The file cannot name another one.
pub const FILE_VARIABLE: &str = "CHANCERY_CONFIG";
/// More than any file with settings takes.
const MAX_FILE: u64 = 1 << 20;

/// Every setting, and the problems found while reading.
#[derive(Debug, Default)]
pub struct Draft {
    pub(super) database: DatabaseDraft,
    pub(super) listen: ListenDraft,
    pub(super) tls: TlsDraft,
    pub(super) connections: ConnectionsDraft,
    pub(super) log: LogDraft,
    pub(super) hashing: HashingDraft,
    pub(super) mail: MailDraft,
    pub(super) browser: BrowserDraft,
    pub(super) declared: DeclaredDraft,
    /// The directory with the credentials of the service.
    pub(super) credentials: Option<PathBuf>,
    pub(super) problems: Vec<String>,
    /// Whether a demo may listen beyond loopback.
    pub(super) anywhere: bool,
}

/// The title and keys of every section, for the documentation.
#[must_use]
pub fn sections() -> Vec<(&'static str, Vec<Key>)> {
    fn section<S: Section>() -> (&'static str, Vec<Key>) {
        (S::ABOUT, S::keys())
    }
    vec![
        section::<DatabaseDraft>(),
        section::<ListenDraft>(),
        section::<TlsDraft>(),
        section::<ConnectionsDraft>(),
        section::<LogDraft>(),
        section::<HashingDraft>(),
        section::<MailDraft>(),
        section::<BrowserDraft>(),
        section::<DeclaredDraft>(),
    ]
}

impl Draft {
    fn slots(&mut self) -> Vec<&mut dyn Slot> {
        let Self {
            database,
            listen,
            tls,
            connections,
            log,
            hashing,
            mail,
            browser,
            declared,
            credentials: _,
            problems: _,
            anywhere: _,
        } = self;
        let mut slots = database.slots();
        slots.extend(listen.slots());
        slots.extend(tls.slots());
        slots.extend(connections.slots());
        slots.extend(log.slots());
        slots.extend(hashing.slots());
        slots.extend(mail.slots());
        slots.extend(browser.slots());
        slots.extend(declared.slots());
        slots
    }

    fn slot(&mut self, fits: impl Fn(&Key) -> bool) -> Option<&mut dyn Slot> {
        self.slots().into_iter().find(|slot| fits(slot.key()))
    }

    /// Lets a demo listen beyond loopback.
    pub fn let_demo_listen_anywhere(&mut self) {
        self.anywhere = true;
    }

    /// Reads a TOML file.
    pub fn read_file(&mut self, path: &Path) {
        match named_file::read_text(path, MAX_FILE) {
            Ok(text) => self.read_toml(&path.to_string_lossy(), &text),
            Err(error) => self.problems.push(format!("cannot read {}: {error}", path.display())),
        }
    }

    fn read_toml(&mut self, path: &str, text: &str) {
        let line = |at: usize| text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            // Values recovered next to a syntax error may not be what was intended.
            let all = errors.iter().map(|error| {
                let at = line(error.span().map_or(0, |span| span.start));
                format!("{path}, line {at}: {}", error.message())
            });
            return self.problems.extend(all);
        }
        let path: Arc<str> = path.into();
        let mut entries: Vec<_> = table.into_inner().into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let line = line(name.span().start);
            self.read_entry(name.get_ref(), value.get_ref(), Origin::File(path.clone(), line));
        }
    }

    fn read_entry(&mut self, name: &str, value: &DeValue<'_>, origin: Origin) {
        let read = match (self.slot(|key| key.name == name), &origin) {
            (None, Origin::File(path, line)) => Err(format!("{path}, line {line}: {name}: is not a setting")),
            (None, _) => Err(format!("{name}: is not a setting")),
            (Some(slot), _) if !slot.key().in_file() => {
                let why = format!("a secret is not read from a file; set {}", slot.key().variable());
                Err(slot.refuse(&why, origin))
            }
            (Some(slot), _) => match text_of(value, slot.key().form) {
                Ok(text) => slot.set(text.as_ref(), origin),
                Err(why) => Err(slot.refuse(&why, origin)),
            },
        };
        self.problems.extend(read.err());
    }

    /// Reads `CHANCERY_…` variables and ignores all others, those that are empty, and those of services in Kubernetes.
    pub fn read_variables(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        let mut variables: Vec<_> = variables.into_iter().collect();
        // Sorted, because the environment has no order.
        variables.sort();
        for (name, value) in variables {
            let name = name.to_string_lossy();
            if name == CREDENTIALS_VARIABLE && !value.is_empty() {
                self.credentials = Some(value.into());
                continue;
            }
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            if value.is_empty() || name == FILE_VARIABLE || is_service_link(rest, &value) {
                continue;
            }
            let read = match self.slot(|key| key.variable() == name) {
                Some(slot) => slot.set(&value, Origin::Variable),
                None => Err(format!("{name}: is not a setting")),
            };
            self.problems.extend(read.err());
        }
    }

    /// Reads the flags shared by all commands that open the database.
    pub fn read_database_flags(&mut self, flags: &DatabaseFlags) {
        self.read_flags(flags.given());
    }

    /// Reads the flag with the issuer, for a command that may set up a database.
    pub fn read_issuer(&mut self, issuer: &str) {
        self.problems.extend(self.listen.issuer.set(issuer.as_ref(), Origin::Flag).err());
    }

    /// Reads the flags of `serve`.
    pub fn read_server_flags(&mut self, flags: &ServerFlags) {
        self.read_flags(flags.given());
    }

    fn read_flags<'a>(&mut self, flags: impl Iterator<Item = &'a (&'static str, OsString)>) {
        for (name, value) in flags {
            let read = self.slot(|key| key.name == *name).map(|slot| slot.set(value, Origin::Flag));
            self.problems.extend(read.and_then(Result::err));
        }
    }

    /// The address of the telemetry listener, and whether it has TLS.
    ///
    /// # Errors
    /// Every problem found while reading.
    pub fn telemetry(mut self) -> Result<(SocketAddr, bool), Vec<String>> {
        let address = self.listen.telemetry_address();
        let tls = self.tls.check(false, &mut self.problems).telemetry.is_some();
        if self.problems.is_empty() { Ok((address, tls)) } else { Err(self.problems) }
    }

    /// Every setting as `config show` prints it.
    pub(super) fn shown(&mut self) -> Map<String, Json> {
        self.slots().into_iter().map(|slot| (slot.key().name.to_owned(), slot.shown())).collect()
    }
}

/// Converts a value from the file to the text that a variable or flag would hold.
fn text_of(value: &DeValue<'_>, form: Form) -> Result<String, String> {
    match (form, value) {
        (Form::List | Form::OneOrMore, DeValue::Array(all)) => {
            let texts = all.iter().map(|one| text_of(one.get_ref(), Form::Text)).collect::<Result<Vec<_>, _>>();
            texts.map(|texts| texts.join(","))
        }
        (Form::List, other) => Err(format!("must be an array of strings, not {}", described(other))),
        (Form::Text | Form::OneOrMore, DeValue::String(text)) => Ok(text.to_string()),
        (Form::OneOrMore, other) => Err(format!("must be a string or an array of strings, not {}", described(other))),
        (Form::Switch, DeValue::Boolean(on)) => Ok(on.to_string()),
        (Form::Number, DeValue::Integer(number)) => {
            // A number too large for `i128` is too large for any setting; parsing the setting reports it.
            let parsed = i128::from_str_radix(number.as_str(), number.radix());
            Ok(parsed.map_or_else(|_| number.to_string(), |n| n.to_string()))
        }
        (Form::Text, other) => Err(format!("must be a string, not {}", described(other))),
        (Form::Switch, other) => Err(format!("must be true or false, not {}", described(other))),
        (Form::Number, other) => Err(format!("must be a whole number, not {}", described(other))),
    }
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
