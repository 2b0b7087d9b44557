//! Strips comments and unit tests from source text.

/// Source text without its comments. String literals are kept.
pub(crate) fn uncommented(source: &str) -> String {
    let (mut out, mut quoted, mut rest) = (String::new(), false, source);
    while let Some(c) = rest.chars().next() {
        // A quote as a character literal starts no string, and an escaped quote does not end one.
        let taken = if !quoted && rest.starts_with("'\"'") {
            3
        } else if !quoted && rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            continue;
        } else if quoted && c == '\\' {
            1 + rest[1..].chars().next().map_or(0, char::len_utf8)
        } else {
            quoted ^= c == '"';
            c.len_utf8()
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// Source text without comments and without items that are compiled only for unit tests.
pub(crate) fn code(source: &str) -> String {
    let (source, mut out) = (uncommented(source), String::new());
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            skip_item(line.len() - line.trim_start().len(), &mut lines);
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Skips an item with this indentation, up to its semicolon or closing brace.
fn skip_item<'a>(indent: usize, lines: &mut impl Iterator<Item = &'a str>) {
    let ends = |line: &str| line.ends_with(';') || line.ends_with('}');
    lines.find(|line| ends(line) && line.len() - line.trim_start().len() == indent);
}

#[test]
fn comments_are_removed_and_strings_are_kept() {
    let source = "a(\"// b \\\" \"); // c\n/// d\n'\"' + \"e\" // f\ng";
    assert_eq!(uncommented(source), "a(\"// b \\\" \"); \n\n'\"' + \"e\" \ng");
}

#[test]
fn code_after_a_unit_test_is_kept() {
    let source = "a;\n#[cfg(test)]\nmod tests;\nb;\n#[cfg(test)]\nmod more {\n    c;\n}\nd {\n    #[cfg(test)]\n    fn e() {\n        f;\n    }\n    g;\n}\n";
    assert_eq!(code(source), "a;\nb;\nd {\n    g;\n}\n");
}
