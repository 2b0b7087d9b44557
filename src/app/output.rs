//! Standard output, whose reader may go away at any time.

use std::io::{self, ErrorKind, Write};

use anyhow::Context;

/// Nobody reads standard output any more, as in `chancery user list | head -1`.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output")]
pub struct ReaderGone;

/// Prints a line.
///
/// # Errors
/// [`ReaderGone`], or a sentence for the operator.
pub fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    printed(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Tells why the output could not be printed.
///
/// # Errors
/// [`ReaderGone`], or a sentence for the operator.
pub fn printed(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        other => other.context("cannot write to standard output"),
    }
}

/// A word for a shell.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
