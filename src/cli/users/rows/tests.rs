use super::*;

fn all(text: &[u8], format: Format) -> Vec<FileRow> {
    let mut rows = Rows::new(text, format).unwrap();
    std::iter::from_fn(|| rows.next().unwrap()).collect()
}

/// Line, field and description of each violation.
fn violations(rows: &[FileRow]) -> Vec<(u64, String, String)> {
    let refused = |r: &FileRow| {
        let line = r.line;
        r.read
            .as_ref()
            .err()
            .cloned()
            .unwrap_or_default()
            .into_iter()
            .map(move |v| (line, v.field.into_owned(), v.description))
    };
    rows.iter().flat_map(refused).collect()
}

fn header_error(text: &str) -> String {
    Rows::new(text.as_bytes(), Format::Csv).err().unwrap().to_string()
}

#[test]
fn both_formats_give_the_same_rows() {
    let json = "\u{feff}{\"subject\":\"1\",\"name\":\"ada\",\"emails\":[\"a@x.org\",\"b@x.org\"],\"email\":null,\
        \"attributes\":{\"team\":\"x, \\\"y\\\"\"},\"password_hash\":\"$2b$h\",\"disabled\":true,\
        \"created_at\":\"2020-01-02T03:04:05Z\"}\r\n\n  {\"subject\":\"2\",\"email\":\"c@x.org\"}";
    let csv = "\u{feff}subject,name,email,emails,attributes,password_hash,disabled,created_at\r\n\
        1,ada,,a@x.org b@x.org,\"{\"\"team\"\":\"\"x, \\\"\"y\\\"\"\"\"}\",$2b$h,true,2020-01-02T03:04:05Z\r\n\
        2,,c@x.org,,,,,\n";
    for (rows, lines) in [(all(json.as_bytes(), Format::Jsonl), [1, 3]), (all(csv.as_bytes(), Format::Csv), [2, 3])] {
        assert_eq!(violations(&rows), []);
        assert_eq!(rows.iter().map(|r| r.line).collect::<Vec<_>>(), lines);
        let first = rows[0].read.as_ref().unwrap();
        assert_eq!((first.subject.as_str(), first.name.as_deref()), ("1", Some("ada")));
        assert_eq!(first.emails, ["a@x.org", "b@x.org"]);
        assert_eq!(first.attributes["team"], "x, \"y\"");
        assert_eq!(first.password_hash.as_ref().unwrap().expose(), "$2b$h");
        assert!(first.disabled);
        assert_eq!(first.created_at.unwrap().to_string(), "2020-01-02T03:04:05.000Z");
        let second = rows[1].read.as_ref().unwrap();
        assert_eq!((second.subject.as_str(), second.name.as_deref()), ("2", None));
        assert_eq!(second.emails, ["c@x.org"]);
        assert!(second.password_hash.is_none() && !second.disabled && second.attributes.is_empty());
    }
}

#[test]
fn an_invalid_line_is_refused_and_the_next_line_is_read() {
    let long = format!("{{\"subject\":\"{}\"}}", "x".repeat(200_000));
    let lines = [
        "{\"subject\":\"1\"",
        "[1]",
        &long,
        "{\"subject\":3,\"name\":true,\"emails\":\"a@x.org\"}",
        "{\"subject\":\"5\",\"passwort\":\"geheim\",\"disabled\":\"yes\",\"attributes\":[],\"created_at\":\"gestern\"}",
        "{\"subject\":\"6\"}",
        "\u{0}",
    ];
    let rows = all(lines.join("\n").as_bytes(), Format::Jsonl);
    let found = violations(&rows);
    let places: Vec<(u64, &str)> = found.iter().map(|(line, field, _)| (*line, field.as_str())).collect();
    let expected = [
        (1, "line"),
        (2, "line"),
        (3, "line"),
        (4, "emails"),
        (4, "name"),
        (4, "subject"),
        (5, "attributes"),
        (5, "created_at"),
        (5, "disabled"),
        (5, "line"),
        (7, "line"),
    ];
    let (mut places, mut expected) = (places, expected.to_vec());
    places.sort_unstable();
    expected.sort_unstable();
    assert_eq!(places, expected, "{found:?}");
    assert!(rows[5].read.is_ok());
    let unknown = found.iter().find(|(line, field, _)| (*line, field.as_str()) == (5, "line")).unwrap();
    assert!(unknown.2.contains("\"passwort\"") && !found.iter().any(|(.., d)| d.contains("geheim")), "{found:?}");
}

#[test]
fn an_invalid_record_is_refused_and_the_next_record_is_read() {
    let csv = b"subject,attributes,disabled\n1,{,perhaps\n2\n3,,0\n4,\xff,\n5,{},1\n";
    let rows = all(csv, Format::Csv);
    let found = violations(&rows);
    let places: Vec<(u64, &str)> = found.iter().map(|(line, field, _)| (*line, field.as_str())).collect();
    assert_eq!(places, [(2, "attributes"), (2, "disabled"), (3, "line"), (5, "line")], "{found:?}");
    assert_eq!(rows.len(), 5);
}

#[test]
fn an_unknown_column_stops_the_import_before_it_begins() {
    assert!(header_error("subject,passwort\n").contains("\"passwort\""));
    assert!(header_error("subject,name,name\n").contains("twice"));
    assert!(header_error("name\n").contains("subject is missing"));
    assert!(header_error("").contains("subject is missing"));
}

/// Counts what is taken from an endless file.
struct Endless<'a> {
    text: &'a [u8],
    taken: &'a std::cell::Cell<usize>,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(buffer)?;
        let read = if read == 0 {
            buffer.fill(b'a');
            buffer.len()
        } else {
            read
        };
        self.taken.set(self.taken.get() + read);
        Ok(read)
    }
}

#[test]
fn a_quote_that_is_never_closed_ends_the_import_after_a_bounded_part_of_the_file() {
    for (text, says) in [
        ("subject,name\n1,ada\n2,\"", "line 3"),
        ("subject,name\n1,", "line 2"),
        ("\"subject", "has more than 65536 bytes"),
    ] {
        let taken = std::cell::Cell::new(0);
        let input = io::BufReader::new(Endless { text: text.as_bytes(), taken: &taken });
        let ended = Rows::new(input, Format::Csv).and_then(|mut rows| {
            while rows.next()?.is_some() {}
            Ok(())
        });
        let problem = format!("{:#}", ended.unwrap_err());
        assert!(problem.contains(says) && problem.contains("has more than 65536 bytes"), "{problem}");
        assert!(taken.get() < 256 * 1024, "{}", taken.get());
    }
}

#[test]
fn a_record_of_the_greatest_size_is_read_wherever_it_stands_in_the_file() {
    let name = "a".repeat(usize::try_from(MAX_LINE).unwrap() - 16);
    let text = format!("subject,name\n{}", format!("1,{name}\n").repeat(20));
    let rows = all(text.as_bytes(), Format::Csv);
    assert_eq!(rows.iter().filter(|row| row.read.is_ok()).count(), 20);
}
