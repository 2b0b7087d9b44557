//! Reads the rows of a user file: JSON with one object per line, or CSV.

use std::io::{self, BufRead, Read};

use anyhow::Context;

use serde_json::{Map, Value};

use crate::{
    domain::user::parse_attributes, error::Violation, secret::ForeignHash, service::ImportRow, time::Timestamp,
};

/// Maximum length of a JSON line, in bytes.
const MAX_LINE: u64 = 64 * 1024;
/// Maximum length of a CSV record, in bytes, plus what the reader may have read ahead. A quote that is never closed
/// would make one record of the whole file.
const MAX_RECORD: u64 = MAX_LINE + 8 * 1024;
/// The fields of a row.
const FIELDS: [&str; 9] =
    ["subject", "name", "email", "emails", "attributes", "password_hash", "disabled", "created_at", "language"];

/// The file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated values with a header line.
    Csv,
}

/// A row of the file.
#[derive(Debug)]
pub(super) struct FileRow {
    /// The line where it begins, counted from 1.
    pub(super) line: u64,
    /// The subject; empty if it cannot be read.
    pub(super) subject: String,
    pub(super) read: Result<ImportRow, Vec<Violation>>,
}

/// The rows of a file, in order.
pub(super) enum Rows<R: Read> {
    Jsonl { input: R, line: u64 },
    Csv { records: Box<csv::StringRecordsIntoIter<Bounded<R>>>, names: Vec<String>, line_offset: u64 },
}

/// Fails once a record has taken too much.
pub(super) struct Bounded<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.by_ref().take(self.left).read(buffer)?;
        self.left -= read as u64;
        if read == 0 && self.left == 0 && !buffer.is_empty() {
            let problem = format!("a row, or a quote that is not closed, has more than {MAX_LINE} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(read)
    }
}

impl<R: BufRead> Rows<R> {
    /// Starts reading the file.
    pub(super) fn new(input: R, format: Format) -> anyhow::Result<Self> {
        if format == Format::Jsonl {
            return Ok(Self::Jsonl { input, line: 0 });
        }
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(Bounded { input, left: MAX_RECORD });
        let names: Vec<String> =
            reader.headers()?.iter().map(|n| n.trim_start_matches('\u{feff}').to_owned()).collect();
        for (at, name) in names.iter().enumerate() {
            anyhow::ensure!(
                FIELDS.contains(&name.as_str()),
                "line 1: unknown column {name:?}; known columns are {}",
                FIELDS.join(", ")
            );
            anyhow::ensure!(!names.iter().take(at).any(|n| n == name), "line 1: the column {name:?} appears twice");
        }
        anyhow::ensure!(names.iter().any(|n| n == "subject"), "line 1: the column subject is missing");
        // The csv crate counts a line that ends in CR LF only when it reads the next line.
        let line_offset = u64::from(reader.position().line() == 1);
        Ok(Self::Csv { records: Box::new(reader.into_records()), names, line_offset })
    }

    /// The next row, or `None` at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<FileRow>> {
        match self {
            Self::Jsonl { input, line } => next_line(input, line),
            Self::Csv { records, names, line_offset } => {
                let line = records.reader().position().line() + *line_offset;
                records.reader_mut().get_mut().left = MAX_RECORD;
                let row = records.next().map(|r| row_from_record(r, names)).transpose();
                let row = row.with_context(|| format!("line {line}"))?;
                Ok(row.map(|row| FileRow { line: row.line + *line_offset, ..row }))
            }
        }
    }
}

fn refuse(field: &'static str, description: impl Into<String>) -> Vec<Violation> {
    vec![Violation { field: field.into(), description: description.into() }]
}

/// The row on the next line that is not empty.
fn next_line(input: &mut impl BufRead, line: &mut u64) -> anyhow::Result<Option<FileRow>> {
    loop {
        let mut bytes = Vec::new();
        if input.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        *line += 1;
        let (line, no_subject) = (*line, String::new());
        if bytes.len() as u64 > MAX_LINE && bytes.last() != Some(&b'\n') {
            skip_line(input)?;
            let read = Err(refuse("line", format!("must be at most {MAX_LINE} bytes")));
            return Ok(Some(FileRow { line, subject: no_subject, read }));
        }
        let text = bytes.trim_ascii();
        let text = if line == 1 { text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text) } else { text };
        if !text.is_empty() {
            // The serde error is dropped, because it may quote a password hash.
            let object = match parse_attributes(text) {
                Ok(object) => object,
                Err(problem) => {
                    return Ok(Some(FileRow { line, subject: no_subject, read: Err(refuse("line", problem)) }));
                }
            };
            let subject = object.get("subject").and_then(Value::as_str).unwrap_or_default().to_owned();
            return Ok(Some(FileRow { line, subject, read: row_from_object(object) }));
        }
    }
}

fn skip_line(input: &mut impl BufRead) -> anyhow::Result<()> {
    loop {
        let mut rest = Vec::new();
        if input.by_ref().take(MAX_LINE).read_until(b'\n', &mut rest)? == 0 || rest.last() == Some(&b'\n') {
            return Ok(());
        }
    }
}

/// Converts a JSON object to a row and reports all violations at once.
fn row_from_object(object: Map<String, Value>) -> Result<ImportRow, Vec<Violation>> {
    let (mut row, mut wrong) = (ImportRow::default(), Vec::new());
    for (key, value) in object {
        // Null means absent.
        if !value.is_null()
            && let Err(problem) = set(&mut row, &key, value)
        {
            wrong.extend(problem);
        }
    }
    if wrong.is_empty() { Ok(row) } else { Err(wrong) }
}

fn set(row: &mut ImportRow, key: &str, value: Value) -> Result<(), Vec<Violation>> {
    let text = |field, value| match value {
        Value::String(text) => Ok(text),
        _ => Err(refuse(field, "must be a string")),
    };
    match key {
        "subject" => row.subject = text("subject", value)?,
        "name" => row.name = Some(text("name", value)?),
        "email" => row.emails.push(text("email", value)?),
        "emails" => {
            let Value::Array(all) = value else { return Err(refuse("emails", "must be an array of strings")) };
            for email in all {
                row.emails.push(text("emails", email)?);
            }
        }
        "attributes" => {
            let Value::Object(facts) = value else { return Err(refuse("attributes", "must be a JSON object")) };
            row.attributes = facts;
        }
        "password_hash" => row.password_hash = Some(ForeignHash::new(text("password_hash", value)?)),
        "disabled" => row.disabled = value.as_bool().ok_or_else(|| refuse("disabled", "must be true or false"))?,
        "created_at" => {
            let at = text("created_at", value)?.parse::<Timestamp>();
            row.created_at = Some(at.map_err(|problem| refuse("created_at", problem))?);
        }
        "language" => row.language = text("language", value)?,
        unknown => {
            return Err(refuse(
                "line",
                format!("has the unknown field {unknown:?}; known fields are {}", FIELDS.join(", ")),
            ));
        }
    }
    Ok(())
}

fn row_from_record(record: csv::Result<csv::StringRecord>, names: &[String]) -> csv::Result<FileRow> {
    let record = match record {
        Ok(record) => record,
        Err(error) if !error.is_io_error() => {
            let line = error.position().map_or(0, csv::Position::line);
            let problem = match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("has {len} columns, not {expected_len}")
                }
                _ => "must be UTF-8".to_owned(),
            };
            return Ok(FileRow { line, subject: String::new(), read: Err(refuse("line", problem)) });
        }
        Err(error) => return Err(error),
    };
    let line = record.position().map_or(0, csv::Position::line);
    let cells = names.iter().map(String::as_str).zip(&record);
    let subject = cells.clone().find(|(name, _)| *name == "subject").map(|(_, v)| v.to_owned()).unwrap_or_default();
    let mut object = Map::new();
    let mut wrong = Vec::new();
    // An empty cell means absent.
    for (name, cell) in cells.filter(|(_, cell)| !cell.is_empty()) {
        match cell_to_json(name, cell) {
            Ok(value) => {
                object.insert(name.to_owned(), value);
            }
            Err(problem) => wrong.extend(problem),
        }
    }
    let read = match row_from_object(object) {
        Err(more) => Err([wrong, more].concat()),
        Ok(_) if !wrong.is_empty() => Err(wrong),
        Ok(row) => Ok(row),
    };
    Ok(FileRow { line, subject, read })
}

/// Converts a CSV cell to its JSON value. Multiple addresses are separated by spaces.
fn cell_to_json(name: &str, cell: &str) -> Result<Value, Vec<Violation>> {
    Ok(match name {
        "emails" => cell.split_whitespace().map(Value::from).collect(),
        "attributes" => {
            parse_attributes(cell.as_bytes()).map(Value::Object).map_err(|problem| refuse("attributes", problem))?
        }
        "disabled" => match cell {
            "true" | "1" => Value::Bool(true),
            "false" | "0" => Value::Bool(false),
            _ => return Err(refuse("disabled", "must be true or false")),
        },
        _ => Value::from(cell),
    })
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;
