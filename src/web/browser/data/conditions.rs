//! What a request says must be stored (RFC 9110 §13).

use axum::http::{HeaderMap, HeaderName, header};

use super::Tags;
use crate::domain::session_data::DataCondition;

/// What must be stored, as far as the headers say it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Whatever they say, it is of no version.
    Plain(DataCondition),
    /// A version with one of these tags, which are without their quotes.
    OneOf(Vec<String>),
}

impl Wanted {
    /// Whether nothing is done where there is no value.
    pub(super) fn needs_value(&self) -> bool {
        matches!(self, Self::Plain(DataCondition::Present) | Self::OneOf(_))
    }

    /// What must be stored at the place that has these tags.
    pub(super) fn condition(&self, tags: &Tags) -> DataCondition {
        match self {
            Self::Plain(condition) => *condition,
            // Versions increase: once there was the highest of them, there is none of the others. No version is 0.
            Self::OneOf(all) => {
                DataCondition::Version(all.iter().filter_map(|tag| tags.version(tag)).max().unwrap_or(0))
            }
        }
    }
}

/// Reads `If-Match` and, where something is stored, `If-None-Match: *`.
///
/// # Errors
/// What of it is not supported. A request that says more than is understood must not be taken for one that says nothing.
pub(super) fn read(headers: &HeaderMap, storing: bool) -> Result<Wanted, &'static str> {
    let matches = said(headers, &header::IF_MATCH)?;
    let differs = said(headers, &header::IF_NONE_MATCH)?;
    match (matches, differs) {
        (None, None) => Ok(Wanted::Plain(DataCondition::Any)),
        (Some(Said::Any), None) => Ok(Wanted::Plain(DataCondition::Present)),
        (Some(Said::Tags(tags)), None) => Ok(Wanted::OneOf(tags)),
        (None, Some(Said::Any)) if storing => Ok(Wanted::Plain(DataCondition::Absent)),
        (None, Some(_)) if storing => Err("If-None-Match takes * alone here"),
        (None, Some(_)) => Err("If-None-Match has no meaning for what is deleted"),
        (Some(_), Some(_)) => Err("If-Match and If-None-Match exclude each other here"),
    }
}

/// Whether a reader has this version already, as `If-None-Match` says. One that is not understood says nothing: the
/// value is sent.
pub(super) fn has(headers: &HeaderMap, tags: &Tags, version: i64) -> bool {
    match said(headers, &header::IF_NONE_MATCH) {
        Ok(Some(Said::Any)) => true,
        Ok(Some(Said::Tags(all))) => all.iter().any(|tag| tags.version(tag) == Some(version)),
        Ok(None) | Err(_) => false,
    }
}

/// What a header with entity tags says.
enum Said {
    Any,
    Tags(Vec<String>),
}

fn said(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Said>, &'static str> {
    const WRONG: &str = "If-Match and If-None-Match take ETags, or * alone";
    let lines = headers.get_all(name).iter().map(|line| line.to_str());
    let lines = lines.collect::<Result<Vec<_>, _>>().map_err(|_| WRONG)?;
    if lines.is_empty() {
        return Ok(None);
    }
    // Lines are one list (RFC 9110 §5.3).
    let list = lines.join(",");
    if list.trim() == "*" {
        return Ok(Some(Said::Any));
    }
    let tags = tags(&list).filter(|tags| !tags.is_empty()).ok_or(WRONG)?;
    Ok(Some(Said::Tags(tags)))
}

/// The tags of a list without their quotes, be they strong or weak. Elements may be empty (RFC 9110 §5.6.1).
fn tags(list: &str) -> Option<Vec<String>> {
    let blank = [' ', '\t'];
    let (mut found, mut rest) = (Vec::new(), list);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(found);
        }
        let (tag, after) = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
        found.push(tag.to_owned());
        rest = after.trim_start_matches(blank);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cart() -> Tags {
        Tags::of("usr_1/shop", &"cart".parse().unwrap())
    }

    /// The headers, with `#7` for the tag of version 7.
    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let of = cart().tag(0).trim_matches('"').trim_end_matches('0').to_owned();
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, value.replace('#', &of).parse().unwrap());
        }
        headers
    }

    fn condition(all: &[(&'static str, &str)], storing: bool) -> Result<DataCondition, &'static str> {
        Ok(read(&headers(all), storing)?.condition(&cart()))
    }

    #[test]
    fn conditions_are_read_by_the_rules_of_http() {
        for (value, want) in [
            ("\"#7\"", DataCondition::Version(7)),
            (" \"#7\" ", DataCondition::Version(7)),
            ("*", DataCondition::Present),
            ("W/\"#7\"", DataCondition::Version(7)),
            ("W/\"#7-gzip\"", DataCondition::Version(7)),
            ("\"#7;gzip\"", DataCondition::Version(7)),
            ("\"#1\", \"#3\"", DataCondition::Version(3)),
            (", \"#3\" ,W/\"#1\",\"a,b\",", DataCondition::Version(3)),
            ("\"7\"", DataCondition::Version(0)),
            ("\"\"", DataCondition::Version(0)),
            ("\"x\"", DataCondition::Version(0)),
        ] {
            for storing in [true, false] {
                assert_eq!(condition(&[("if-match", value)], storing), Ok(want), "{value}");
            }
        }
        let lines = [("if-match", "\"#1\""), ("if-match", "\"#2\"")];
        assert_eq!(condition(&lines, true), Ok(DataCondition::Version(2)));
        assert_eq!(condition(&[], true), Ok(DataCondition::Any));
        assert_eq!(condition(&[("if-none-match", "*")], true), Ok(DataCondition::Absent));
    }

    #[test]
    fn a_condition_that_is_not_understood_is_refused() {
        for (all, storing) in [
            (&[("if-match", "\"#1\" \"#2\"")][..], true),
            (&[("if-match", "#7")], true),
            (&[("if-match", "")], true),
            (&[("if-match", ",")], true),
            (&[("if-match", "w/\"#7\"")], true),
            (&[("if-match", "\"#7")], true),
            (&[("if-match", "*, \"#7\"")], true),
            (&[("if-match", "*"), ("if-match", "*")], true),
            (&[("if-match", "\"#1\""), ("if-none-match", "*")], true),
            (&[("if-none-match", "\"#1\"")], true),
            (&[("if-none-match", "*")], false),
        ] {
            assert!(condition(all, storing).is_err(), "{all:?}");
        }
    }

    #[test]
    fn a_reader_who_has_the_version_is_not_sent_it_again() {
        for (value, want) in [
            ("\"#7\"", true),
            ("W/\"#7\"", true),
            ("\"#6\", \"#7-gzip\"", true),
            ("*", true),
            ("\"#6\"", false),
            ("\"7\"", false),
            ("#7", false),
        ] {
            assert_eq!(has(&headers(&[("if-none-match", value)]), &cart(), 7), want, "{value}");
        }
    }
}
