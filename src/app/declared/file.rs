//! A file with declarations, as it is written: TOML with lines, every problem reported at once. The files that it names
//! are read too. Nothing is asked of the database.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    keys::{Kind, PASSWORD_FILE, SECRET_FILE},
    named::{client_secret, password},
    problems::Problems,
    value::{Form, Value},
};
use crate::{
    app::config::read_named_text,
    secret::{ClientSecret, Password},
    time::Ttl,
};

/// More than any file of declarations takes.
const MAX_FILE: u64 = 1 << 20;
/// The most entries. Each is compared with what the database has, and some cost transactions.
const MAX_ENTRIES: usize = 2000;

/// A value with the line of its key.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

/// One table of the file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) line: usize,
    pub(super) fields: BTreeMap<&'static str, Given<Value>>,
    /// The file with its secret or password.
    pub(super) file: Option<Given<String>>,
    pub(super) secret: Option<ClientSecret>,
    pub(super) password: Option<Password>,
}

impl Entry {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).map(|given| &given.value)
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).map(Value::text).unwrap_or_default()
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.get(name).map(|value| value.list().to_vec()).unwrap_or_default()
    }

    /// Its name among those of its kind. A user without a name is known by the first address.
    pub(super) fn name(&self) -> String {
        match self.text(self.kind.identity()) {
            "" if self.kind == Kind::User => self.list("emails").into_iter().next().unwrap_or_default(),
            name => name.to_owned(),
        }
    }

    /// The line of a key, or else that of the table.
    pub(super) fn line_of(&self, name: &str) -> usize {
        let of_file = self.file.as_ref().filter(|_| matches!(name, SECRET_FILE | PASSWORD_FILE | "password"));
        self.fields.get(name).map(|given| given.line).or(of_file.map(|file| file.line)).unwrap_or(self.line)
    }
}

/// What a file declares.
pub struct Declaration {
    path: Arc<str>,
    pub(super) settings: Vec<(String, Given<String>)>,
    pub(super) entries: Vec<Entry>,
}

impl fmt::Debug for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Declaration").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Declaration {
    /// Reads a file, which may be a pipe, and the files that it names.
    ///
    /// # Errors
    /// Every problem, each with its line.
    pub fn read(path: &Path) -> Result<Self, Vec<String>> {
        match read_named_text(path, MAX_FILE) {
            Ok(text) => Self::parse(path, &text),
            Err(error) => Err(vec![format!("cannot read {}: {error}", path.display())]),
        }
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Vec<String>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let (path, problems) = (path.to_string_lossy().into(), Problems::default());
        let mut reader = Reader { path, folder, line_ends: line_ends(text), problems };
        if !errors.is_empty() {
            // Values recovered next to a syntax error may not be what was intended.
            for error in &errors {
                let line = reader.line(error.span().map_or(0, |span| span.start));
                reader.problem(line, error.message());
            }
        }
        let (mut settings, mut entries) = (Vec::new(), Vec::new());
        let readable = if errors.is_empty() { sorted(table.get_ref()) } else { Vec::new() };
        for (name, value) in readable {
            let line = reader.line(name.span().start);
            match Kind::ALL.into_iter().find(|kind| kind.as_str() == name.get_ref().as_ref()) {
                Some(kind) => entries.extend(reader.entries(kind, line, value)),
                None if name.get_ref() == "settings" => settings = reader.settings(line, value),
                None => reader
                    .problem(line, &format!("{} is none of settings, audience, role, client and user", name.get_ref())),
            }
        }
        if entries.len() > MAX_ENTRIES {
            reader.problems.push(format!("{}: it has more than {MAX_ENTRIES} entries", reader.path));
        }
        reader.repeated(&entries);
        let declaration = Self { path: reader.path, settings, entries };
        reader.problems.into_result(declaration)
    }

    /// Where it was read from.
    pub(in crate::app) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.kind == kind)
    }

    pub(super) fn entry(&self, kind: Kind, name: &str) -> Option<&Entry> {
        self.of(kind).find(|entry| entry.name() == name)
    }

    /// A problem at a line.
    pub(super) fn problem(&self, line: usize, what: impl fmt::Display) -> String {
        format!("{}, line {line}: {what}", self.path)
    }

    /// A problem with an entry, at the line of one of its keys.
    pub(super) fn problem_of(&self, entry: &Entry, key: &str, what: impl fmt::Display) -> String {
        let (kind, name) = (entry.kind.as_str(), entry.name());
        self.problem(entry.line_of(key), format_args!("{kind} {name}: {key}: {what}"))
    }
}

type Pair<'a, 'i> = (&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

/// The pairs of a table in the order of the file.
fn sorted<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Pair<'a, 'i>> {
    let mut all: Vec<_> = table.iter().collect();
    all.sort_by_key(|(name, _)| name.span().start);
    all
}

struct Reader {
    path: Arc<str>,
    folder: PathBuf,
    line_ends: Vec<usize>,
    problems: Problems,
}

/// Where lines end, in their order.
fn line_ends(text: &str) -> Vec<usize> {
    text.match_indices('\n').map(|(at, _)| at).collect()
}

impl Reader {
    fn line(&self, at: usize) -> usize {
        self.line_ends.partition_point(|end| *end < at) + 1
    }

    fn problem(&mut self, line: usize, what: &str) {
        self.problems.push(format!("{}, line {line}: {what}", self.path));
    }

    fn settings(&mut self, line: usize, value: &Spanned<DeValue<'_>>) -> Vec<(String, Given<String>)> {
        let DeValue::Table(table) = value.get_ref() else {
            self.problem(line, "settings must be a table: [settings]");
            return Vec::new();
        };
        let mut all = Vec::new();
        for (name, value) in sorted(table) {
            let line = self.line(name.span().start);
            match value.get_ref() {
                DeValue::String(text) => {
                    all.push((name.get_ref().to_string(), Given { line, value: text.to_string() }));
                }
                DeValue::Integer(number) if number.radix() == 10 => {
                    all.push((name.get_ref().to_string(), Given { line, value: number.as_str().to_owned() }));
                }
                _ => self.problem(line, &format!("{}: must be a number, or a text such as \"5m\"", name.get_ref())),
            }
        }
        all
    }

    fn entries(&mut self, kind: Kind, line: usize, value: &Spanned<DeValue<'_>>) -> Vec<Entry> {
        let form = format!("must be written as [[{}]]", kind.as_str());
        let DeValue::Array(all) = value.get_ref() else {
            self.problem(line, &form);
            return Vec::new();
        };
        let mut entries = Vec::new();
        for one in all {
            let line = self.line(one.span().start);
            match one.get_ref() {
                DeValue::Table(table) => entries.push(self.entry(kind, line, table)),
                _ => self.problem(line, &form),
            }
        }
        entries
    }

    fn entry(&mut self, kind: Kind, line: usize, table: &DeTable<'_>) -> Entry {
        let fields = BTreeMap::new();
        let mut entry = Entry { kind, line, fields, file: None, secret: None, password: None };
        for (name, value) in sorted(table) {
            let (line, name) = (self.line(name.span().start), name.get_ref().as_ref());
            let named_file = matches!((kind, name), (Kind::Client, SECRET_FILE) | (Kind::User, PASSWORD_FILE));
            let form = kind.key(name).map(|key| key.form).or(named_file.then_some(Form::Text));
            match form.map(|form| read_value(form, value.get_ref())) {
                None if matches!(name, "secret" | "client_secret" | "password") => {
                    let other = if kind == Kind::Client { SECRET_FILE } else { PASSWORD_FILE };
                    self.problem(line, &format!("{name}: secrets are taken from files only; set {other}"));
                }
                None => self.problem(line, &format!("{name}: is nothing that a {} has", kind.as_str())),
                Some(Err(why)) => self.problem(line, &format!("{name}: {why}")),
                Some(Ok(value)) if named_file => {
                    entry.file = Some(Given { line, value: value.text().to_owned() });
                }
                Some(Ok(value)) => {
                    if let Some(key) = kind.key(name) {
                        entry.fields.insert(key.name, Given { line, value });
                    }
                }
            }
        }
        if entry.name().is_empty() {
            self.problem(entry.line, &format!("a {} needs {}", kind.as_str(), kind.identity()));
        }
        self.read_secret(&mut entry);
        entry
    }

    /// Reads the file with the secret of an entry.
    fn read_secret(&mut self, entry: &mut Entry) {
        let Some(Given { line, value: name }) = entry.file.clone() else { return };
        let path = self.folder.join(&name);
        let read = if entry.kind == Kind::Client {
            client_secret(&path).map(|secret| entry.secret = Some(secret))
        } else {
            password(&path).map(|password| entry.password = Some(password))
        };
        if let Err(why) = read {
            let (kind, of) = (entry.kind.as_str(), entry.name());
            self.problem(line, &format!("{kind} {of}: {}: {why}", path.display()));
        }
    }

    /// Reports entries that are there twice.
    fn repeated(&mut self, entries: &[Entry]) {
        let mut lines: BTreeMap<(Kind, String), usize> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| !entry.name().is_empty()) {
            if let Some(first) = lines.insert((entry.kind, entry.name()), entry.line) {
                let (kind, name) = (entry.kind.as_str(), entry.name());
                self.problem(entry.line, &format!("{kind} {name} is there already, in line {first}"));
            }
        }
    }
}

fn read_value(form: Form, value: &DeValue<'_>) -> Result<Value, String> {
    match (form, value) {
        (Form::Switch, DeValue::Boolean(on)) => Ok(Value::Switch(*on)),
        (Form::Text, DeValue::String(text)) => Ok(Value::Text(text.to_string())),
        (Form::Length, DeValue::String(text)) => {
            text.parse().map(|ttl: Ttl| Value::Length(ttl.seconds())).map_err(str::to_owned)
        }
        (Form::Length, DeValue::Integer(number)) => {
            let seconds = i64::from_str_radix(number.as_str(), number.radix());
            seconds.map(Value::Length).map_err(|_| "is too large".to_owned())
        }
        (Form::List, DeValue::Array(all)) => {
            let texts = all.iter().map(|one| one.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>().map(Value::List).ok_or_else(|| "must be an array of strings".to_owned())
        }
        (Form::Table, DeValue::Table(all)) => {
            let pairs =
                all.iter().map(|(name, text)| Some((name.get_ref().to_string(), text.get_ref().as_str()?.to_owned())));
            pairs
                .collect::<Option<BTreeMap<_, _>>>()
                .map(Value::Table)
                .ok_or_else(|| "must be a table of strings".to_owned())
        }
        (Form::Switch, _) => Err("must be true or false".to_owned()),
        (Form::Text, _) => Err("must be a string".to_owned()),
        (Form::Length, _) => Err("must be a number of seconds, or a text such as \"5m\"".to_owned()),
        (Form::List, _) => Err("must be an array of strings".to_owned()),
        (Form::Table, _) => Err("must be a table of strings, such as { team = \"team\" }".to_owned()),
    }
}
