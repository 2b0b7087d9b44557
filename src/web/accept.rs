//! Whether an answer is wanted in JSON or in HTML (RFC 9110 §12.5.1).

use axum::http::{HeaderMap, header};

/// Ranges in `Accept` that are looked at.
const MAX_RANGES: usize = 32;

/// How well a type is matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
struct Match {
    /// The weight; 0 for a type that is not wanted.
    weight: f32,
    /// How exactly the range names it: 3 for the type itself, 1 for `*/*`, 0 for nothing.
    exactness: u8,
}

/// Whether an answer is wanted in JSON: by what `Accept` says, or because the request is JSON itself. Browsers, and
/// programs that take anything, get HTML.
#[must_use]
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    is_json(headers) || prefers_json(headers)
}

/// Whether `Accept` names JSON before HTML: by a higher weight or, of equal weight, by a range that is more exact.
/// `application/json, */*` is such a one, as scripts send it.
#[must_use]
pub(super) fn prefers_json(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<_> = values.flat_map(|value| value.split(',')).take(MAX_RANGES).map(weighted).collect();
    let (json, html) = (matched(&ranges, ["application", "json"]), matched(&ranges, ["text", "html"]));
    json.weight > 0.0 && json > html
}

/// Whether the body says that it is JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// A range and its weight. A weight that cannot be read counts as 0. No other parameter tells our answers apart.
fn weighted(range: &str) -> (&str, f32) {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let weight = weight.map_or(Some(1.0), |weight| weight.parse().ok());
    (kind, weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0))
}

/// The weight of a type: that of the most exact range that has it.
fn matched(ranges: &[(&str, f32)], [kind, subkind]: [&str; 2]) -> Match {
    let exactness = |range: &str| match range.split_once('/') {
        Some(("*", "*")) => 1,
        Some((a, "*")) if a.eq_ignore_ascii_case(kind) => 2,
        Some((a, b)) if a.eq_ignore_ascii_case(kind) && b.eq_ignore_ascii_case(subkind) => 3,
        _ => 0,
    };
    let mut best = Match::default();
    for (range, weight) in ranges {
        let exactness = exactness(range);
        if exactness > best.exactness {
            best = Match { weight: *weight, exactness };
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut out = HeaderMap::new();
        for value in values {
            out.append(&name, value.parse().unwrap());
        }
        out
    }

    #[test]
    fn json_is_sent_to_whoever_names_it_before_html() {
        let cases: &[(&[&str], bool)] = &[
            (&["application/json"], true),
            (&["APPLICATION/JSON"], true),
            (&["application/json; charset=utf-8"], true),
            // axios, and others that take anything in the end.
            (&["application/json, text/plain, */*"], true),
            (&["application/json;q=0.9, */*;q=0.8"], true),
            (&["application/*"], true),
            (&["text/html;q=0.5, application/json"], true),
            (&["text/html;q=0.5", "application/json;q=0.6"], true),
            (&["text/html;q=0, */*"], true),
            (&["text/*;q=0.9, application/json"], true),
            (&["application/json, text/html;q=0"], true),
            // A browser, `fetch`, curl, and nothing at all.
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], false),
            (&["*/*"], false),
            (&["*/*;q=0.1"], false),
            (&[], false),
            (&[""], false),
            (&["text/html, application/json"], false),
            (&["application/json, text/html"], false),
            (&["text/html, application/json;q=0.9"], false),
            (&["text/*, application/json;q=0.9"], false),
            (&["application/*, text/html"], false),
            (&["application/json;q=0"], false),
            (&["application/json;q=0, */*"], false),
            (&["application/json;q=2", "application/json;q=NaN"], false),
            (&["application/json;q=x"], false),
            (&["application/jsonp", "json", "application/problem+json", "application/xml"], false),
        ];
        for (accept, expected) in cases {
            assert_eq!(prefers_json(&headers(header::ACCEPT, accept)), *expected, "{accept:?}");
        }
        let many = format!("{}application/json", "a/b,".repeat(MAX_RANGES));
        let mut long = HeaderMap::new();
        long.insert(header::ACCEPT, many.parse().unwrap());
        assert!(!prefers_json(&long));
    }

    #[test]
    fn whoever_sends_json_gets_json() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON ; charset=utf-8", true),
            ("application/x-www-form-urlencoded", false),
            ("text/plain", false),
            ("application/json+x", false),
        ] {
            assert_eq!(wants_json(&headers(header::CONTENT_TYPE, &[content_type])), expected, "{content_type}");
        }
        assert!(!wants_json(&HeaderMap::new()));
        assert!(wants_json(&headers(header::ACCEPT, &["application/json"])));
    }
}
