//! The parts of a section: settings, each with its key and its value.

use std::{ffi::OsStr, fmt, mem, sync::Arc};

use clap::builder::PossibleValue;
use serde_json::Value as Json;

use super::value::{Form, Value};

/// Prefix of all variables.
pub(super) const PREFIX: &str = "CHANCERY_";

/// The description of a setting, shared by the file, the variables, the command line and the documentation.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// Its description, for the help and the documentation.
    pub meaning: &'static str,
    /// Placeholder for its value in the help.
    pub(super) placeholder: &'static str,
    /// The TOML type.
    pub(super) form: Form,
    /// Whether only its variable can set it.
    pub(super) secret: bool,
    /// Its default, as text.
    pub(super) default: Option<fn() -> String>,
    /// Its possible values, if there are only a few.
    pub(super) choices: fn() -> Vec<PossibleValue>,
}

impl Key {
    /// The variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_uppercase())
    }

    /// The flag that sets it.
    #[must_use]
    pub fn flag(&self) -> Option<String> {
        let name = match (self.form, self.name.strip_suffix("ies")) {
            // Each holds one of the list.
            (Form::List, Some(start)) => format!("{start}y"),
            _ => self.name.to_owned(),
        };
        (!self.secret).then(|| format!("--{}", name.replace('_', "-")))
    }

    /// Whether a file may set it.
    #[must_use]
    pub const fn in_file(&self) -> bool {
        !self.secret
    }

    /// Its default.
    #[must_use]
    pub fn default(&self) -> Option<String> {
        self.default.map(|default| default())
    }
}

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// In a file: its path, and the line.
    File(Arc<str>, usize),
    /// By the setting's variable.
    Variable,
    /// By the setting's flag.
    Flag,
}

/// The state of a value.
enum Given<T> {
    /// Not set.
    Nothing,
    /// Set to something that cannot be parsed; the problem is already reported.
    Unreadable,
    /// Set, or filled in with the default.
    Value(T),
}

/// One setting.
pub(super) struct Setting<T> {
    key: Key,
    given: Given<T>,
    origin: Option<Origin>,
}

impl<T> fmt::Debug for Setting<T> {
    /// Does not print the value, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting").field("key", &self.key.name).field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl<T> Setting<T> {
    pub(super) const fn new(key: Key) -> Self {
        Self { key, given: Given::Nothing, origin: None }
    }

    /// The value, if one was set.
    pub(super) const fn get(&self) -> Option<&T> {
        if let Given::Value(value) = &self.given { Some(value) } else { None }
    }

    /// Whether it was set, even to something unreadable.
    pub(super) const fn is_set(&self) -> bool {
        !matches!(self.given, Given::Nothing)
    }

    /// Whether it was set to something unreadable.
    pub(super) const fn is_unreadable(&self) -> bool {
        matches!(self.given, Given::Unreadable)
    }

    /// The effective value: the one that was set, or else `default`, which is then also shown.
    pub(super) fn or(&mut self, default: T) -> T
    where
        T: Clone,
    {
        if self.get().is_none() {
            self.given = Given::Value(default.clone());
        }
        self.get().cloned().unwrap_or(default)
    }

    /// Another setting as whoever set this one would name it.
    pub(super) fn names<U>(&self, other: &Setting<U>) -> String {
        match &self.origin {
            None | Some(Origin::File(..)) => other.key.name.to_owned(),
            Some(Origin::Variable) => other.key.variable(),
            Some(Origin::Flag) => other.key.flag().unwrap_or_else(|| other.key.variable()),
        }
    }

    /// A sentence about this setting that begins with the place where it was set.
    pub(super) fn problem(&self, what: impl fmt::Display) -> String {
        let name = self.key.name;
        match &self.origin {
            // Whoever has yet to set it can do so in either way.
            None => match self.key.flag() {
                Some(flag) => format!("{flag} ({name}): {what}"),
                None => format!("{name}: {what}"),
            },
            Some(Origin::File(path, line)) => format!("{path}, line {line}: {name}: {what}"),
            Some(Origin::Variable) => format!("{}: {what}", self.key.variable()),
            Some(Origin::Flag) => format!("{}: {what}", self.key.flag().unwrap_or_default()),
        }
    }
}

/// A setting, independent of its type.
pub(super) trait Slot: fmt::Debug {
    /// Its key.
    fn key(&self) -> &Key;

    /// Sets it, replacing any previous value.
    ///
    /// # Errors
    /// A sentence that says why the text cannot be parsed.
    fn set(&mut self, text: &OsStr, origin: Origin) -> Result<(), String>;

    /// Marks the value as unreadable and returns a sentence that says why.
    fn refuse(&mut self, why: &str, origin: Origin) -> String;

    /// Its value as `config show` prints it.
    fn shown(&self) -> Json;
}

impl<T: Value> Slot for Setting<T> {
    fn key(&self) -> &Key {
        &self.key
    }

    fn set(&mut self, text: &OsStr, origin: Origin) -> Result<(), String> {
        match T::parse(text) {
            Ok(value) => {
                drop(mem::replace(&mut self.given, Given::Value(value)));
                self.origin = Some(origin);
                Ok(())
            }
            Err(why) => Err(self.refuse(&why, origin)),
        }
    }

    fn refuse(&mut self, why: &str, origin: Origin) -> String {
        self.given = Given::Unreadable;
        self.origin = Some(origin);
        self.problem(why)
    }

    fn shown(&self) -> Json {
        self.get().map_or(Json::Null, Value::shown)
    }
}

/// Settings that belong together.
pub(super) trait Section: Default {
    /// The title.
    const ABOUT: &'static str;

    /// All settings, in the order of their declaration.
    fn slots(&mut self) -> Vec<&mut dyn Slot>;

    /// Their keys.
    fn keys() -> Vec<Key> {
        Self::default().slots().into_iter().map(|slot| *slot.key()).collect()
    }
}

/// Declares a section, with `name: Type as "VALUE" = DEFAULT;` for each setting. The comment above a setting is its
/// help and documentation. No other place lists settings: the file key, the variable, the flag, `config show` and
/// docs/reference/config.md are derived from this. `DEFAULT` is only shown; the section's check fills it in.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $(#[expect $expectation:tt])?
        $name:ident;
        $($(#[doc = $meaning:literal])+ $key:ident: $type:ty $(as $placeholder:literal)? $(= $default:expr)?;)+
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        $(#[expect $expectation])?
        pub(super) struct $name {
            $($(#[doc = $meaning])+ pub(super) $key: $crate::app::config::setting::Setting<$type>,)+
        }

        impl Default for $name {
            fn default() -> Self {
                use $crate::app::config::{setting::{Key, Setting}, value::Value};
                Self {
                    $($key: Setting::new(Key {
                        name: stringify!($key),
                        meaning: concat!($($meaning),+).trim_ascii(),
                        placeholder: concat!($($placeholder)?),
                        form: <$type as Value>::FORM,
                        secret: <$type as Value>::SECRET,
                        default: [$((|| $default.to_string()) as fn() -> String)?].first().copied(),
                        choices: <$type as Value>::choices,
                    }),)+
                }
            }
        }

        impl $crate::app::config::setting::Section for $name {
            const ABOUT: &'static str = concat!($($about),+).trim_ascii();

            fn slots(&mut self) -> Vec<&mut dyn $crate::app::config::setting::Slot> {
                vec![$(&mut self.$key),+]
            }
        }
    };
}
pub(super) use section;
