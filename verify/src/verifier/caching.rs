//! What the headers of a response say about its age (RFC 9111).

/// `max-age` in seconds (§5.2.2.1), from all `Cache-Control` lines. Of several the smallest counts (§4.2.1); one
/// that is no number does not.
pub(super) fn max_age<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<i64> {
    let texts: Vec<_> = lines.map(String::from_utf8_lossy).collect();
    texts.iter().flat_map(|line| directives(line)).filter_map(max_age_of).min()
}

/// `Age` in seconds (§5.1): how long the response has been in caches. Of several the first counts; one that is no
/// number does not.
pub(super) fn age<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> i64 {
    let first = lines.next().map(String::from_utf8_lossy).unwrap_or_default();
    delta_seconds(first.split(',').next().unwrap_or_default()).unwrap_or(0)
}

/// The directives of one line. A comma inside quotes separates nothing.
fn directives(line: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(|c: char| {
        let literal = escaped;
        escaped = quoted && c == '\\' && !literal;
        if c == '"' && !literal {
            quoted = !quoted;
        }
        c == ',' && !quoted
    })
    .collect()
}

/// The seconds of a `max-age` directive, in any case, with or without quotes (§5.2).
fn max_age_of(directive: &str) -> Option<i64> {
    let (name, value) = directive.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("max-age") {
        return None;
    }
    let value = value.trim();
    let unquoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    delta_seconds(unquoted.unwrap_or(value))
}

/// A number of seconds (§1.2.2). One that is too large means as long as can be counted.
fn delta_seconds(text: &str) -> Option<i64> {
    let digits = text.trim();
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    number.then(|| digits.parse().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn max_age_in(lines: &[&str]) -> Option<i64> {
        max_age(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn max_age_is_read_in_every_spelling() {
        for (lines, seconds) in [
            (&["public, max-age=120"][..], Some(120)),
            (&["Max-Age=120"], Some(120)),
            (&["MAX-AGE=120,public"], Some(120)),
            (&["max-age=\"120\""], Some(120)),
            (&["public,\tmax-age = 120 , immutable"], Some(120)),
            (&["public", "max-age=120"], Some(120)),
            (&["max-age=300", "no-transform, max-age=120"], Some(120)),
            (&["max-age=300, max-age=120"], Some(120)),
            (&["max-age=x, max-age=120"], Some(120)),
            (&["private=\"a, max-age=5\", max-age=120"], Some(120)),
            (&["private=\"a\\\", max-age=5\", max-age=120"], Some(120)),
            (&["s-maxage=5, max-age=120"], Some(120)),
            (&["s-maxage=5"], None),
            (&["max-age=0"], Some(0)),
            (&["max-age=99999999999999999999"], Some(i64::MAX)),
            (&["max-age=-5"], None),
            (&["max-age=+5"], None),
            (&["max-age=1.5"], None),
            (&["max-age="], None),
            (&["max-age"], None),
            (&["x-max-age=5"], None),
            (&["no-store"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(max_age_in(lines), seconds, "{lines:?}");
        }
        assert_eq!(max_age([&b"\xff, max-age=7"[..]].into_iter()), Some(7));
    }

    #[test]
    fn age_is_a_number_of_seconds_or_does_not_count() {
        for (lines, seconds) in [
            (&["60"][..], 60),
            (&[" 60 "], 60),
            (&["60, 5"], 60),
            (&["60", "5"], 60),
            (&["99999999999999999999"], i64::MAX),
            (&["-60"], 0),
            (&["a minute"], 0),
            (&[], 0),
        ] {
            assert_eq!(age(lines.iter().map(|line| line.as_bytes())), seconds, "{lines:?}");
        }
    }
}
