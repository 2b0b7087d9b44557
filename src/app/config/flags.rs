//! Command-line flags, generated from the keys.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    marker::PhantomData,
};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches,
    builder::{PossibleValue, StyledStr, TypedValueParser},
};

use super::{
    browser::BrowserDraft,
    connections::ConnectionsDraft,
    database::DatabaseDraft,
    declared::DeclaredDraft,
    hashing::HashingDraft,
    listen::ListenDraft,
    log::LogDraft,
    mail::MailDraft,
    setting::{Key, Section},
    tls::TlsDraft,
    value::Form,
};

/// A key and the value given for it on the command line.
type Flag = (&'static str, OsString);

/// The flags that select the database, for every command.
#[derive(Args, Debug, Default)]
pub struct DatabaseFlags {
    #[command(flatten)]
    database: Flags<DatabaseDraft>,
}

impl DatabaseFlags {
    pub(super) fn given(&self) -> impl Iterator<Item = &Flag> {
        self.database.given.iter()
    }
}

/// The flags of `serve`, in addition to those of every command.
#[derive(Args, Debug, Default)]
pub struct ServerFlags {
    #[command(flatten)]
    listen: Flags<ListenDraft>,
    #[command(flatten)]
    tls: Flags<TlsDraft>,
    #[command(flatten)]
    connections: Flags<ConnectionsDraft>,
    #[command(flatten)]
    log: Flags<LogDraft>,
    #[command(flatten)]
    hashing: Flags<HashingDraft>,
    #[command(flatten)]
    mail: Flags<MailDraft>,
    #[command(flatten)]
    browser: Flags<BrowserDraft>,
    #[command(flatten)]
    declared: Flags<DeclaredDraft>,
}

impl ServerFlags {
    pub(super) fn given(&self) -> impl Iterator<Item = &Flag> {
        let Self { listen, tls, connections, log, hashing, mail, browser, declared } = self;
        let all = [
            &listen.given,
            &tls.given,
            &connections.given,
            &log.given,
            &hashing.given,
            &mail.given,
            &browser.given,
            &declared.given,
        ];
        all.into_iter().flatten()
    }
}

/// The flags of a section, as text. They are parsed together with the file and the variables, so that all problems
/// are reported at once.
struct Flags<S> {
    given: Vec<Flag>,
    section: PhantomData<S>,
}

impl<S> Default for Flags<S> {
    fn default() -> Self {
        Self { given: Vec::new(), section: PhantomData }
    }
}

impl<S> fmt::Debug for Flags<S> {
    /// Prints no values, because a database URL may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.given.iter().map(|(name, _)| name)).finish()
    }
}

impl<S: Section> Args for Flags<S> {
    fn augment_args(command: Command) -> Command {
        S::keys().iter().filter_map(argument).fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Section> FromArgMatches for Flags<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        for key in S::keys().iter().filter(|key| key.flag().is_some()) {
            let given = match key.form {
                Form::Switch => matches.get_flag(key.name).then(|| "true".into()),
                Form::Text | Form::Number => matches.get_one::<OsString>(key.name).cloned(),
                Form::List | Form::OneOrMore => matches.get_many::<OsString>(key.name).map(|all| {
                    let all: Vec<&OsStr> = all.map(OsString::as_os_str).collect();
                    all.join(OsStr::new(","))
                }),
            };
            flags.given.extend(given.map(|value| (key.name, value)));
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The flag of a key, if it has one.
fn argument(key: &Key) -> Option<Arg> {
    let flag = key.flag()?;
    let help = match key.default() {
        Some(default) => format!("{} [default: {default}]", key.meaning),
        None => key.meaning.to_owned(),
    };
    let argument = Arg::new(key.name).long(flag.trim_start_matches('-').to_owned()).help(StyledStr::from(help));
    Some(match key.form {
        Form::Switch => argument.action(ArgAction::SetTrue),
        Form::List | Form::OneOrMore => {
            argument.value_name(key.placeholder).value_parser(AnyText((key.choices)())).action(ArgAction::Append)
        }
        Form::Text | Form::Number => {
            argument.value_name(key.placeholder).value_parser(AnyText((key.choices)())).action(ArgAction::Set)
        }
    })
}

/// Accepts any text, but lists the possible values in the help.
#[derive(Clone)]
struct AnyText(Vec<PossibleValue>);

impl TypedValueParser for AnyText {
    type Value = OsString;

    fn parse_ref(&self, _: &Command, _: Option<&Arg>, value: &OsStr) -> Result<OsString, clap::Error> {
        Ok(value.to_owned())
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        if self.0.is_empty() { None } else { Some(Box::new(self.0.iter().cloned())) }
    }
}
