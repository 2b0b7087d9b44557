//! Log filter and format.

use std::ffi::OsStr;

use clap::{ValueEnum, builder::PossibleValue};
use serde_json::{Value as Json, json};
use tracing_subscriber::EnvFilter;

use super::{
    setting::section,
    value::{Value, utf8},
};

/// The default filter. DEBUG adds successful calls, which on a busy server is more than anyone reads.
const FILTER: &str = "info";

/// How logs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human-readable.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl Value for LogFormat {
    fn parse(text: &OsStr) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(utf8(text)?, true).map_err(|_| "must be text or json".to_owned())
    }

    fn shown(&self) -> Json {
        json!(self.to_possible_value().map(|value| value.get_name().to_owned()))
    }

    fn choices() -> Vec<PossibleValue> {
        Self::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect()
    }
}

section! {
    /// Logs
    LogDraft;
    /// Log filter, as `tracing` directives
    log: String as "FILTER" = FILTER;
    /// How logs look
    log_format: LogFormat as "FORMAT" = "text";
}

/// Log filter and format.
#[derive(Debug)]
pub struct Log {
    /// The filter.
    pub filter: String,
    /// The format.
    pub format: LogFormat,
}

impl LogDraft {
    /// Fills in defaults and collects all problems.
    pub(super) fn check(&mut self, problems: &mut Vec<String>) -> Log {
        let filter = self.log.or(FILTER.to_owned());
        if EnvFilter::builder().parse(&filter).is_err() {
            problems.push(self.log.problem(format!("{filter:?} is not a filter such as info or chancery=debug")));
        }
        Log { filter, format: self.log_format.or(LogFormat::default()) }
    }
}
