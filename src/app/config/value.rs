//! The types of settings, and how to parse each from text.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::builder::PossibleValue;
use secrecy::SecretString;
use serde_json::{Value as Json, json};

use crate::{
    domain::network::{ForwardedHeaders, Network, NetworkError},
    service::HttpRpc,
    store::Location,
};

/// The TOML type of a setting. Variables and flags hold the same value as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A string.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`; the flag takes no value.
    Switch,
    /// An array of strings. Variables hold them with commas between, and the flag is repeated.
    List,
    /// A string, or an array of several. Otherwise like a list.
    OneOrMore,
}

/// A type of setting. Its error messages do not contain the name of the setting.
pub(super) trait Value: Sized {
    /// The TOML type.
    const FORM: Form = Form::Text;
    /// Whether it is secret. Only its variable can set a secret: files get committed to repositories, and flags are
    /// visible in the process list.
    const SECRET: bool = false;

    /// Parses it from text.
    fn parse(text: &OsStr) -> Result<Self, String>;

    /// The value as `config show` prints it.
    fn shown(&self) -> Json;

    /// Its possible values, if there are only a few.
    fn choices() -> Vec<PossibleValue> {
        Vec::new()
    }
}

pub(super) fn utf8(text: &OsStr) -> Result<&str, String> {
    text.to_str().ok_or_else(|| "is not UTF-8 text".to_owned())
}

impl Value for String {
    fn parse(text: &OsStr) -> Result<Self, String> {
        utf8(text).map(str::to_owned)
    }

    fn shown(&self) -> Json {
        json!(self)
    }
}

impl Value for PathBuf {
    fn parse(text: &OsStr) -> Result<Self, String> {
        if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.into()) }
    }

    fn shown(&self) -> Json {
        json!(Path::to_string_lossy(self))
    }
}

/// A file, or the word `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileOrNone {
    /// The word.
    None,
    /// A file.
    File(PathBuf),
}

impl FileOrNone {
    /// The file, if it is one.
    pub(super) const fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::None => None,
            Self::File(path) => Some(path),
        }
    }
}

impl Value for FileOrNone {
    fn parse(text: &OsStr) -> Result<Self, String> {
        if text == "none" { Ok(Self::None) } else { PathBuf::parse(text).map(Self::File) }
    }

    fn shown(&self) -> Json {
        self.file().map_or(json!("none"), Value::shown)
    }
}

impl Value for Vec<PathBuf> {
    const FORM: Form = Form::OneOrMore;

    fn parse(text: &OsStr) -> Result<Self, String> {
        let paths: Self = parts(text).into_iter().filter(|path| !path.as_os_str().is_empty()).collect();
        if paths.is_empty() { Err("must not be empty".to_owned()) } else { Ok(paths) }
    }

    fn shown(&self) -> Json {
        match self.as_slice() {
            [one] => one.shown(),
            several => json!(several.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>()),
        }
    }
}

/// The paths between commas. They need not be UTF-8.
#[cfg(unix)]
fn parts(text: &OsStr) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    text.as_bytes().split(|byte| *byte == b',').map(|part| OsStr::from_bytes(part).into()).collect()
}

/// The paths between commas.
#[cfg(not(unix))]
fn parts(text: &OsStr) -> Vec<PathBuf> {
    text.to_string_lossy().split(',').map(PathBuf::from).collect()
}

impl Value for u32 {
    const FORM: Form = Form::Number;

    fn parse(text: &OsStr) -> Result<Self, String> {
        utf8(text)?.parse().map_err(|_| "must be a whole number".to_owned())
    }

    fn shown(&self) -> Json {
        json!(self)
    }
}

impl Value for bool {
    const FORM: Form = Form::Switch;

    fn parse(text: &OsStr) -> Result<Self, String> {
        utf8(text)?.parse().map_err(|_| "must be true or false".to_owned())
    }

    fn shown(&self) -> Json {
        json!(self)
    }
}

impl Value for SocketAddr {
    fn parse(text: &OsStr) -> Result<Self, String> {
        let text = utf8(text)?;
        text.parse().map_err(|_| format!("{text:?} is not an address and port such as 127.0.0.1:8080"))
    }

    fn shown(&self) -> Json {
        json!(self)
    }
}

impl Value for Vec<Network> {
    const FORM: Form = Form::List;

    fn parse(text: &OsStr) -> Result<Self, String> {
        let each = utf8(text)?.split(',').map(str::trim).filter(|text| !text.is_empty());
        each.map(|text| text.parse().map_err(|problem: NetworkError| problem.to_string())).collect()
    }

    fn shown(&self) -> Json {
        json!(self.iter().map(ToString::to_string).collect::<Vec<_>>())
    }
}

impl Value for ForwardedHeaders {
    fn parse(text: &OsStr) -> Result<Self, String> {
        utf8(text)?.parse()
    }

    fn shown(&self) -> Json {
        json!(self.as_str())
    }

    fn choices() -> Vec<PossibleValue> {
        [Self::XForwarded, Self::Forwarded].map(|family| PossibleValue::new(family.as_str())).to_vec()
    }
}

impl Value for HttpRpc {
    fn parse(text: &OsStr) -> Result<Self, String> {
        utf8(text)?.parse()
    }

    fn shown(&self) -> Json {
        json!(self.as_str())
    }

    fn choices() -> Vec<PossibleValue> {
        Self::ALL.map(|choice| PossibleValue::new(choice.as_str())).to_vec()
    }
}

impl Value for Location {
    fn parse(text: &OsStr) -> Result<Self, String> {
        Self::parse(utf8(text)?)
    }

    /// Omits the password.
    fn shown(&self) -> Json {
        json!(self.to_string())
    }
}

impl Value for SecretString {
    const SECRET: bool = true;

    fn parse(text: &OsStr) -> Result<Self, String> {
        utf8(text).map(Self::from)
    }

    fn shown(&self) -> Json {
        json!("set")
    }
}
