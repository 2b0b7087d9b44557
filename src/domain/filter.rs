//! Filters for lists: terms such as `name = value`, joined by AND; a small subset of AIP-160.

/// How a term compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
}

/// One term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The field's name.
    pub field: String,
    /// The comparison.
    pub comparison: Comparison,
    /// The value, without quotes.
    pub value: String,
    /// Where in it each wildcard is. An escaped asterisk is a character like any other.
    wildcards: Vec<usize>,
}

/// What a term with `=` may compare with: a text, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Exactly this text.
    Exact(String),
    /// A text that starts with this one: `"ad*"`.
    Prefix(String),
}

impl Term {
    /// The value with its wildcard (AIP-160), which may stand at the end alone.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn pattern(&self) -> Result<Pattern, String> {
        let prefix = || self.value.strip_suffix('*').unwrap_or_default();
        match self.wildcards.as_slice() {
            [] => Ok(Pattern::Exact(self.value.clone())),
            [at] if *at == prefix().len() && at + 1 == self.value.len() => Ok(Pattern::Prefix(prefix().to_owned())),
            _ => Err(format!("a * in {} may stand at the end alone; \\* is one that is part of it", self.field)),
        }
    }
}

/// Maximum length of a filter, in bytes.
const MAX: usize = 1024;
/// Maximum number of terms.
const MAX_TERMS: usize = 8;

/// Parses a filter. An empty text has no terms.
///
/// # Errors
/// A description of what is wrong.
pub fn parse(text: &str) -> Result<Vec<Term>, String> {
    if text.len() > MAX {
        return Err(format!("must be at most {MAX} bytes"));
    }
    let (mut rest, mut terms) = (text.trim(), Vec::new());
    while !rest.is_empty() {
        if !terms.is_empty() {
            rest = rest.strip_prefix("AND ").ok_or("terms must be joined by AND")?.trim_start();
        }
        let (term, after) = term(rest)?;
        // PostgreSQL refuses NUL in a text.
        if term.value.contains('\0') {
            return Err("must not contain NUL".to_owned());
        }
        terms.push(term);
        rest = after.trim_start();
        if terms.len() > MAX_TERMS {
            return Err(format!("must have at most {MAX_TERMS} terms"));
        }
    }
    Ok(terms)
}

/// Parses one term; also returns the rest of the text.
fn term(text: &str) -> Result<(Term, &str), String> {
    const FORM: &str = "a term must be NAME = VALUE, NAME >= VALUE or NAME < VALUE";
    let name_ends = text.find(|c: char| !c.is_ascii_lowercase() && c != '_').ok_or(FORM)?;
    let (field, rest) = text.split_at(name_ends);
    let rest = rest.trim_start();
    let signs = [(">=", Comparison::AtLeast), ("<", Comparison::Below), ("=", Comparison::Equal)];
    let found = signs.into_iter().find_map(|(sign, c)| Some((c, rest.strip_prefix(sign)?)));
    let (comparison, rest) = found.filter(|_| !field.is_empty()).ok_or(FORM)?;
    let (value, wildcards, rest) = value(rest.trim_start())?;
    Ok((Term { field: field.to_owned(), comparison, value, wildcards }, rest))
}

/// Parses a word, or a text in double quotes where a backslash escapes quotes, backslashes and asterisks. Also returns
/// where the asterisks are that were not escaped, and the rest of the text.
fn value(text: &str) -> Result<(String, Vec<usize>, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-:@".contains(c);
        if word.is_empty() || !word.chars().all(plain) {
            return Err(
                "a value must be in quotes if it has characters other than letters, digits and ._-:@".to_owned()
            );
        }
        return Ok((word.to_owned(), Vec::new(), rest));
    };
    let (mut out, mut wildcards, mut escaped) = (String::new(), Vec::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                out.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Ok((out, wildcards, quoted.get(at + 1..).unwrap_or_default())),
            '*' => {
                wildcards.push(out.len());
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    Err("must not contain an unclosed quote".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<(String, Comparison, String)> {
        parse(text).unwrap().into_iter().map(|t| (t.field, t.comparison, t.value)).collect()
    }

    #[test]
    fn terms_parse_with_and_without_quotes() {
        assert!(terms("  ").is_empty());
        let want = vec![
            ("kind".to_owned(), Comparison::Equal, "SIGNED_IN".to_owned()),
            ("time".to_owned(), Comparison::AtLeast, "2030-01-01T00:00:00Z".to_owned()),
            ("subject".to_owned(), Comparison::Equal, "a \"b\" \\ AND é".to_owned()),
        ];
        assert_eq!(
            terms(r#"kind=SIGNED_IN AND time >= "2030-01-01T00:00:00Z" AND subject = "a \"b\" \\ AND é""#),
            want
        );
    }

    #[test]
    fn a_wildcard_stands_at_the_end() {
        let pattern = |text: &str| parse(text).unwrap().remove(0).pattern();
        assert_eq!(pattern(r#"name = "ad*""#), Ok(Pattern::Prefix("ad".to_owned())));
        assert_eq!(pattern(r#"name = "*""#), Ok(Pattern::Prefix(String::new())));
        assert_eq!(pattern("name = ada"), Ok(Pattern::Exact("ada".to_owned())));
        assert!(pattern(r#"name = "a*a""#).is_err());
        assert!(pattern(r#"name = "a*\*""#).is_err());
        assert!(pattern(r#"name = "a**""#).is_err());
    }

    #[test]
    fn an_escaped_asterisk_is_part_of_the_name() {
        let pattern = |text: &str| parse(text).unwrap().remove(0).pattern();
        assert_eq!(pattern(r#"name = "a\*""#), Ok(Pattern::Exact("a*".to_owned())));
        assert_eq!(pattern(r#"name = "a\*b\*""#), Ok(Pattern::Exact("a*b*".to_owned())));
        assert_eq!(pattern(r#"name = "a\**""#), Ok(Pattern::Prefix("a*".to_owned())));
        assert_eq!(terms(r#"name = "a\*""#)[0].2, "a*");
    }

    #[test]
    fn a53_invalid_filters_are_refused() {
        for bad in [
            "kind",
            "kind SIGNED_IN",
            "kind = ",
            "= x",
            "kind = 'x'",
            "kind = \"x",
            "kind = x OR kind = y",
            "kind = x kind = y",
            "kind = x;drop",
            "Kind = x",
            &"a = b AND ".repeat(9),
            &"x".repeat(1025),
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
