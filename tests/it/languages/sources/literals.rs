//! The string literals of Rust sources, but for those of comments, attributes, log lines and `expect`.

/// A literal.
#[derive(Debug)]
pub(super) struct Literal<'a> {
    pub(super) line: usize,
    /// As it is written, without its quotes.
    pub(super) text: &'a str,
}

/// What stands before the parenthesis of a call whose literals nobody reads on a page.
const QUIET: [&str; 2] = ["expect", "!"];

struct Reader<'a> {
    source: &'a str,
    at: usize,
    /// For each bracket that is open, whether what is in it counts.
    counts: Vec<bool>,
    found: Vec<Literal<'a>>,
}

/// The literals of a source, in their order.
pub(super) fn literals(source: &str) -> Vec<Literal<'_>> {
    let mut reader = Reader { source, at: 0, counts: Vec::new(), found: Vec::new() };
    while let Some(c) = reader.rest().chars().next() {
        reader.step(c);
    }
    reader.found
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn step(&mut self, c: char) {
        let rest = self.rest();
        match c {
            '/' if rest.starts_with("//") => self.at += rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => self.at += rest.find("*/").map_or(rest.len(), |end| end + 2),
            'r' if rest.starts_with("r\"") || rest.starts_with("r#") => self.raw(),
            '"' => self.plain(),
            '\'' => self.character(),
            '(' | '[' | '{' => {
                let counts = self.counts.last() != Some(&false) && !self.is_quiet();
                self.counts.push(counts);
                self.at += 1;
            }
            ')' | ']' | '}' => {
                self.counts.pop();
                self.at += 1;
            }
            _ => self.at += c.len_utf8(),
        }
    }

    /// Whether the bracket here is that of an attribute, of a log line or of `expect`.
    fn is_quiet(&self) -> bool {
        let before = self.source[..self.at].trim_end();
        if self.rest().starts_with('[') {
            return before.ends_with('#') || before.ends_with("#!");
        }
        let word = before.rsplit(|c: char| !c.is_alphanumeric() && !"_:!.".contains(c)).next().unwrap_or_default();
        word.ends_with(&format!(".{}", QUIET[0])) || (word.starts_with("tracing::") && word.ends_with(QUIET[1]))
    }

    fn add(&mut self, from: usize, to: usize) {
        if self.counts.last() != Some(&false) {
            let line = self.source[..from].matches('\n').count() + 1;
            self.found.push(Literal { line, text: &self.source[from..to] });
        }
    }

    fn plain(&mut self) {
        let from = self.at + 1;
        let (mut escaped, mut end) = (false, self.source.len());
        for (index, c) in self.source[from..].char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    end = from + index;
                    break;
                }
                _ => {}
            }
        }
        self.add(from, end);
        self.at = (end + 1).min(self.source.len());
    }

    fn raw(&mut self) {
        let hashes = self.rest()[1..].bytes().take_while(|b| *b == b'#').count();
        let from = self.at + 2 + hashes;
        if self.source.as_bytes().get(from - 1) != Some(&b'"') {
            // A raw identifier.
            self.at += 2;
            return;
        }
        let close = format!("\"{}", "#".repeat(hashes));
        let end = self.source[from..].find(&close).map_or(self.source.len(), |end| from + end);
        self.add(from, end);
        self.at = (end + close.len()).min(self.source.len());
    }

    /// Skips a character; a lifetime has no second quote.
    fn character(&mut self) {
        let mut inside = self.rest()[1..].char_indices();
        let length = match (inside.next(), inside.next()) {
            (Some((_, '\\')), Some(_)) => inside.find(|(_, c)| *c == '\'').map(|(index, _)| index + 2),
            (Some(_), Some((index, '\''))) => Some(index + 2),
            _ => None,
        };
        self.at += length.unwrap_or(1);
    }
}
