//! What commands print: results to standard output, errors to standard error.

use std::{io::Write, process::ExitCode};

use serde_json::Value;

/// Prints a line.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// Prints a document for a script: a message of the API with the names of its fields (`proto/`). Fields that are
/// not set are left out.
pub(super) fn json(value: &Value) -> anyhow::Result<()> {
    line(&without_nulls(value).to_string())
}

/// The same on several lines.
pub(super) fn pretty_json(value: &Value) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(&without_nulls(value))?)
}

/// The name of a value of an enum of the API, such as `GRANT_REFRESH_TOKEN`.
pub(super) fn constant(prefix: &str, name: &str) -> String {
    format!("{prefix}_{}", name.to_uppercase())
}

/// The members of an object that are set, and of the messages within it; attributes stay as they are.
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

/// Tells somebody who watches, apart from the result.
pub(super) fn note(text: &str) {
    // If this cannot be written, nobody watches.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints why the command failed.
pub(super) fn failure(error: &anyhow::Error) -> ExitCode {
    // If even this cannot be written, there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "chancery: {error:#}");
    ExitCode::FAILURE
}

/// Prints rows in columns.
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
