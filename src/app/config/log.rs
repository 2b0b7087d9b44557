//! What is logged, and how.

use tracing_subscriber::EnvFilter;

use super::setting::section;

/// What happens, without what each call does: at DEBUG a busy server writes more than anybody reads.
const FILTER: &str = "info";

/// How logs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

section! {
    /// Logs
    LogDraft;
    /// Log filter, as `tracing` directives
    log: String as "FILTER" = FILTER;
    /// How logs look
    log_format: LogFormat as "FORMAT" = "text";
}

/// What is logged, and how.
#[derive(Debug)]
pub struct Log {
    /// What is logged.
    pub filter: String,
    /// How logs look.
    pub format: LogFormat,
}

impl LogDraft {
    /// Fills in defaults; notes every problem.
    pub(super) fn check(&mut self, problems: &mut Vec<String>) -> Log {
        let filter = self.log.or(FILTER.to_owned());
        if EnvFilter::builder().parse(&filter).is_err() {
            problems.push(self.log.problem(format!("{filter:?} is not a filter such as info or chancery=debug")));
        }
        Log { filter, format: self.log_format.or(LogFormat::default()) }
    }
}
