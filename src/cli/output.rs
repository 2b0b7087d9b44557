//! Command output: results to standard output, errors to standard error.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde_json::Value;

pub(super) use crate::app::output::line;
use crate::app::output::{ReaderGone, printed};

/// The exit code of a program that ends because nobody reads its output, as a shell shows it: 128 + SIGPIPE.
const READER_GONE: u8 = 141;

/// A dry run has found something to change, and has said what.
#[derive(Debug, thiserror::Error)]
#[error("something differs")]
pub(super) struct Differs;

/// The exit code of a dry run that has found something to change, as of `terraform plan -detailed-exitcode`.
const DIFFERS: u8 = 2;

/// Prints the help, or what is wrong with the arguments.
pub(super) fn usage(answer: &clap::Error) -> ExitCode {
    let code = u8::try_from(answer.exit_code()).unwrap_or(2);
    let printed = printed(answer.print().and_then(|()| io::stdout().flush()));
    match printed {
        // Nobody can read what is wrong, but the code still says that something is.
        Err(error) if !answer.use_stderr() => failure(&error),
        _ => ExitCode::from(code),
    }
}

/// Prints JSON for scripts: an API message with its proto field names. Fields that are not set are omitted.
pub(super) fn json(value: &Value) -> anyhow::Result<()> {
    line(&compact_json(value))
}

/// The same as text, without printing it.
pub(super) fn compact_json(value: &Value) -> String {
    without_nulls(value).to_string()
}

/// The same, on several lines.
fn pretty_json(value: &Value) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(&without_nulls(value))?)
}

/// The same, on one line or on several.
pub(super) fn document(value: &Value, one_line: bool) -> anyhow::Result<()> {
    if one_line { json(value) } else { pretty_json(value) }
}

/// The name of an API enum value, such as `GRANT_REFRESH_TOKEN`.
pub(super) fn constant(prefix: &str, name: &str) -> String {
    format!("{prefix}_{}", name.to_uppercase())
}

/// Removes members that are null, also in nested messages. User attributes stay unchanged.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let set = members.iter().filter(|(_, value)| !value.is_null());
            let kept = |(name, value): (&String, &Value)| {
                let value = if name == "attributes" { value.clone() } else { without_nulls(value) };
                (name.clone(), value)
            };
            Value::Object(set.map(kept).collect())
        }
        other => other.clone(),
    }
}

/// Prints a message to standard error, separate from the result.
pub(super) fn note(text: &str) {
    // If this fails, nobody can read it anyway.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints why the command failed.
pub(super) fn failure(error: &anyhow::Error) -> ExitCode {
    if error.is::<ReaderGone>() {
        return ExitCode::from(READER_GONE);
    }
    if error.is::<Differs>() {
        return ExitCode::from(DIFFERS);
    }
    if let Some(wrong) = error.downcast_ref::<clap::Error>() {
        return usage(wrong);
    }
    // If this fails too, there is no way left to report it.
    let _ = writeln!(io::stderr().lock(), "chancery: {}", in_full(error));
    ExitCode::FAILURE
}

/// An error with its causes on one line. Some errors repeat their cause.
fn in_full(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// Prints a table with aligned columns.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let head: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| all.iter().filter_map(|r| r.get(column)).map(|t| t.chars().count()).max().unwrap_or(0);
    for row in &all {
        let cells: Vec<String> = row.iter().enumerate().map(|(n, t)| format!("{t:<0$}", width(n))).collect();
        line(cells.join("  ").trim_end())?;
    }
    Ok(())
}
