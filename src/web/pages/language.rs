//! The language of a page.

use crate::domain::mail::Language;

/// Ranges in `Accept-Language` that are looked at.
const MAX_RANGES: usize = 20;

/// The language chosen, or the most wanted of `Accept-Language` (RFC 9110 §12.5.4), or English. Each is looked up with
/// ever shorter tags (RFC 4647 §3.4).
pub(super) fn choose<'a>(
    known: impl Iterator<Item = &'a Language> + Clone,
    chosen: Option<&str>,
    accept_language: Option<&str>,
) -> Language {
    let mut accepted: Vec<(&str, f32)> = accept_language
        .unwrap_or_default()
        .split(',')
        .take(MAX_RANGES)
        .map(weighted)
        .filter(|(_, q)| *q > 0.0)
        .collect();
    // Stable: of equal weights, the first.
    accepted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let wanted = chosen.into_iter().chain(accepted.into_iter().map(|(tag, _)| tag));
    let mut languages = wanted.filter_map(|tag| tag.parse::<Language>().ok());
    languages.find_map(|language| find(known.clone(), &language).cloned()).unwrap_or_default()
}

/// The language itself or the next more general one that there are texts in.
pub(super) fn find<'a>(known: impl Iterator<Item = &'a Language> + Clone, language: &Language) -> Option<&'a Language> {
    language.fallbacks().find_map(|tag| known.clone().find(|one| one.as_str() == tag))
}

/// A range and its weight. Any other parameter and a weight that cannot be read count as not wanted.
fn weighted(range: &str) -> (&str, f32) {
    match range.split_once(';') {
        None => (range.trim(), 1.0),
        Some((tag, weight)) => {
            let weight = weight.trim().strip_prefix("q=").and_then(|q| q.parse().ok());
            (tag.trim(), weight.filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_chosen_goes_before_those_of_the_browser() {
        let known: Vec<Language> = ["de", "en", "pt-br"].map(|tag| tag.parse().unwrap()).into();
        for (chosen, accepted, language) in [
            (None, None, "en"),
            (None, Some(""), "en"),
            (None, Some("de-AT,de;q=0.8,en;q=0.5"), "de"),
            (None, Some("fr, en;q=0.2, de;q=0.7"), "de"),
            (None, Some("fr, pt-BR-x-y;q=0.1"), "pt-br"),
            (None, Some("pt"), "en"),
            (None, Some("de;q=0, en"), "en"),
            (None, Some("de;q=NaN, de;q=2, de;q=x, de;level=1"), "en"),
            (Some("de"), Some("en"), "de"),
            (Some("fr"), Some("de"), "de"),
            (Some("<script>"), None, "en"),
        ] {
            assert_eq!(choose(known.iter(), chosen, accepted).as_str(), language, "{chosen:?} {accepted:?}");
        }
    }
}
