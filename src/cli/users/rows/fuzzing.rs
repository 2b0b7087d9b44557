//! What a file of users may contain.

use serde_json::{Map, Value};

use super::{Format, ImportRow, MAX_LINE, Rows};

/// Rows of a CSV file.
pub(crate) fn csv_row(data: &[u8]) -> bool {
    read(data, Format::Csv)
}

/// Rows of a file with one JSON object per line.
pub(crate) fn jsonl_row(data: &[u8]) -> bool {
    read(data, Format::Jsonl)
}

/// Reads all rows; whether any was accepted. Each that was is read as the same when it is written as JSON.
fn read(data: &[u8], format: Format) -> bool {
    let Ok(mut rows) = Rows::new(data, format) else { return false };
    let (mut accepted, mut last) = (false, 0);
    while let Ok(Some(row)) = rows.next() {
        assert!(row.line > last || format == Format::Csv, "lines are counted");
        last = row.line;
        if let Ok(row) = row.read {
            accepted = true;
            let written = write(&row);
            assert!(written.len() as u64 > MAX_LINE || written == again(&written), "{written}");
        }
    }
    accepted
}

fn again(written: &str) -> String {
    let rows = Rows::new(written.as_bytes(), Format::Jsonl);
    let row = rows.and_then(|mut rows| rows.next()).ok().flatten().and_then(|row| row.read.ok());
    row.as_ref().map(write).unwrap_or_default()
}

fn write(row: &ImportRow) -> String {
    let ImportRow { subject, name, emails, attributes, language, password_hash, disabled, created_at } = row;
    let mut object = Map::new();
    let mut set = |name: &str, value: Option<Value>| object.extend(value.map(|value| (name.to_owned(), value)));
    set("subject", Some(subject.clone().into()));
    set("name", name.clone().map(Value::from));
    set("emails", Some(emails.clone().into()));
    set("attributes", Some(attributes.clone().into()));
    set("password_hash", password_hash.as_ref().map(|hash| hash.expose().into()));
    set("language", Some(language.clone().into()));
    set("disabled", Some((*disabled).into()));
    set("created_at", created_at.map(|at| at.to_string().into()));
    Value::Object(object).to_string()
}
