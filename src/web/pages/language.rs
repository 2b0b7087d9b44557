//! The language of a page.

use crate::domain::mail::Language;

/// Ranges in `Accept-Language`, and tags in `ui_locales`, that are looked at.
const MAX_RANGES: usize = 20;

/// The first language wanted, or the most wanted of `Accept-Language` (RFC 9110 §12.5.4), or English. Each is looked up
/// with ever shorter tags (RFC 4647 §3.4).
pub(super) fn choose<'a>(
    known: impl Iterator<Item = &'a Language> + Clone,
    wanted: impl Iterator<Item = Language>,
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
    let accepted = accepted.into_iter().filter_map(|(tag, _)| tag.parse::<Language>().ok());
    wanted.chain(accepted).find_map(|language| find(known.clone(), &language).cloned()).unwrap_or_default()
}

/// The first of these tags, parted by spaces, that there are texts in.
pub(super) fn first_spoken<'a>(known: impl Iterator<Item = &'a Language> + Clone, tags: &str) -> Option<Language> {
    let languages = tags.split(' ').take(MAX_RANGES).filter_map(|tag| tag.parse::<Language>().ok());
    languages.into_iter().find_map(|language| find(known.clone(), &language).cloned())
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
        ] {
            let wanted = chosen.into_iter().map(|tag| tag.parse().unwrap());
            assert_eq!(choose(known.iter(), wanted, accepted).as_str(), language, "{chosen:?} {accepted:?}");
        }
        let wanted = ["fr", "pt-br", "de"].into_iter().map(|tag| tag.parse().unwrap());
        assert_eq!(choose(known.iter(), wanted, Some("en")).as_str(), "pt-br");
    }

    #[test]
    fn of_several_locales_the_first_that_is_spoken_counts() {
        let known: Vec<Language> = ["de", "en"].map(|tag| tag.parse().unwrap()).into();
        let many = format!("{}de", "fr ".repeat(MAX_RANGES));
        for (tags, language) in [
            ("de", Some("de")),
            ("fr-CA fr de-AT en", Some("de")),
            ("fr", None),
            ("", None),
            ("<script> en", Some("en")),
            (many.as_str(), None),
        ] {
            assert_eq!(first_spoken(known.iter(), tags).as_ref().map(Language::as_str), language, "{tags}");
        }
    }
}
