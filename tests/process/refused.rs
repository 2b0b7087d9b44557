//! Runs the program where it must fail.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::io::AsyncWriteExt;

use crate::server::command;

/// The input of a failing program and its expected output.
pub(crate) struct Refused<'a> {
    /// Its arguments as typed; single and double quotes group words.
    pub(crate) line: &'a str,
    pub(crate) stdin: &'a [u8],
    pub(crate) variables: &'a [(&'a str, &'a str)],
    pub(crate) code: i32,
    /// Texts that standard error must contain.
    pub(crate) says: &'a [&'a str],
    /// Texts that it must not contain.
    pub(crate) hides: &'a [&'a str],
}

impl Default for Refused<'_> {
    fn default() -> Self {
        Self { line: "", stdin: b"", variables: &[], code: 1, says: &[], hides: &[] }
    }
}

impl Refused<'_> {
    /// Runs the program in a directory; it must soon exit with the expected code and output.
    pub(crate) async fn check(&self, dir: &Path) {
        let line = self.line;
        let arguments = words(line);
        let mut command = command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        command.current_dir(dir).envs(self.variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        // A program that rejects its arguments exits without reading its input.
        let _ = child.stdin.take().unwrap().write_all(self.stdin).await;
        let ended = tokio::time::timeout(Duration::from_secs(20), child.wait_with_output()).await;
        let out = ended.unwrap_or_else(|_| panic!("{line}: not refused")).unwrap();
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(self.code), "{line}: {stderr}");
        assert_eq!(String::from_utf8(out.stdout).unwrap(), "", "{line}");
        for text in self.says {
            assert!(stderr.contains(text), "{line}: no {text:?} in {stderr}");
        }
        for text in self.hides {
            assert!(!stderr.contains(text), "{line}: {text:?} in {stderr}");
        }
        // Tests write keys as files are written, and their cluster is not durable: both are warned of.
        let expected = [" INFO ", "mend it with `chmod 600", "synchronous_commit is off"];
        let lines = stderr.split_inclusive('\n').filter(|line| !expected.iter().any(|text| line.contains(text)));
        let stderr: String = lines.collect();
        let start = if self.code == 1 { "chancery: " } else { "error: " };
        assert!(stderr.starts_with(start) && !stderr.contains("panicked"), "{line}: {stderr}");
    }
}

/// Splits a line at spaces outside single or double quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            (' ', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
