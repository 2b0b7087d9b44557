//! The messages of the pages in every language: English and German are built in, other languages are files.

use std::{borrow::Cow, collections::BTreeMap};

use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};

use crate::domain::mail::Language;

/// The English messages. They say which there are.
const ENGLISH: &str = include_str!("texts/en.ftl");
/// The messages in the other languages that are built in.
const OTHERS: &[(&str, &str)] = &[("de", include_str!("texts/de.ftl"))];
/// The message with what a language calls itself.
const OWN_NAME: &str = "language-name";

/// The messages.
pub(super) struct Texts {
    bundles: BTreeMap<Language, FluentBundle<FluentResource>>,
}

impl Texts {
    /// The built-in messages.
    pub(super) fn built_in() -> Result<Self, Vec<String>> {
        let mut texts = Self { bundles: BTreeMap::new() };
        texts.add(&Language::default(), ENGLISH).map_err(|all| at("the built-in en.ftl", all))?;
        for (tag, source) in OTHERS {
            let language = tag.parse().map_err(|_| vec![format!("{tag} is no language")])?;
            texts.add(&language, source).map_err(|all| at(&format!("the built-in {tag}.ftl"), all))?;
        }
        Ok(texts)
    }

    /// The languages, each with what it calls itself; its tag if it does not say.
    pub(super) fn names(&self) -> Vec<(Language, String)> {
        let name = |language: &Language, bundle| {
            let name = format_with(bundle, OWN_NAME, &FluentArgs::new()).and_then(Result::ok);
            name.unwrap_or_else(|| language.as_str().to_owned())
        };
        self.bundles.iter().map(|(language, bundle)| (language.clone(), name(language, bundle))).collect()
    }

    /// The messages that a language has neither itself nor in a more general one, so that they are in English.
    pub(super) fn missing(&self, language: &Language) -> Vec<&'static str> {
        let known = |key: &str| self.bundles_for(language).any(|bundle| bundle.has_message(key));
        messages(ENGLISH).into_keys().filter(|key| !known(key)).collect()
    }

    /// The messages of a language, then those of ever more general ones.
    fn bundles_for<'a>(
        &'a self,
        language: &'a Language,
    ) -> impl Iterator<Item = &'a FluentBundle<FluentResource>> + 'a {
        language.fallbacks().filter_map(|tag| self.bundles.iter().find(|(one, _)| one.as_str() == tag)).map(|(_, b)| b)
    }

    /// The languages.
    pub(super) fn languages(&self) -> impl Iterator<Item = &Language> + Clone {
        self.bundles.keys()
    }

    /// Adds messages of a language, which replace those of the same name.
    ///
    /// # Errors
    /// Every problem, with its line.
    pub(super) fn add(&mut self, language: &Language, source: &str) -> Result<(), Vec<(usize, String)>> {
        let resource = FluentResource::try_new(source.to_owned()).map_err(|(_, errors)| {
            errors.iter().map(|e| (line(source, e.pos.start), e.to_string())).collect::<Vec<_>>()
        })?;
        let known = messages(ENGLISH);
        let unknown = messages(source).into_iter().filter(|(key, _)| !known.contains_key(key));
        let mut problems: Vec<_> =
            unknown.map(|(key, at)| (at.line, format!("{key} is not a message of the pages"))).collect();
        let bundle = self.bundles.entry(language.clone()).or_insert_with(|| empty(language));
        bundle.add_resource_overriding(resource);
        for (key, own) in messages(source) {
            let Some(english) = known.get(key) else { continue };
            let mut args = FluentArgs::new();
            for name in &english.variables {
                args.set(*name, 2);
            }
            if let Err(problem) = format_with(bundle, key, &args).unwrap_or_else(|| Err("has no text".to_owned())) {
                problems.push((own.line, format!("{key}: {problem}")));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// A message, in the language, in a more general one, or in English.
    pub(super) fn format(&self, language: &Language, key: &str, args: &FluentArgs<'_>) -> Result<String, String> {
        let english = Language::default();
        let mut bundles = self.bundles_for(language).chain(self.bundles_for(&english));
        let found = bundles.find_map(|bundle| format_with(bundle, key, args));
        found
            .unwrap_or_else(|| Err("there is no such message".to_owned()))
            .map_err(|problem| format!("{key}: {problem}"))
    }
}

/// A message as it stands in its source.
struct Message<'a> {
    line: usize,
    variables: Vec<&'a str>,
}

/// The messages of a source by name.
fn messages(source: &str) -> BTreeMap<&str, Message<'_>> {
    let mut out = BTreeMap::new();
    let mut current = None;
    for (n, text) in source.lines().enumerate() {
        if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            current = text.split_once('=').map(|(key, _)| key.trim_end());
            out.extend(current.map(|key| (key, Message { line: n + 1, variables: Vec::new() })));
        }
        let message = current.and_then(|key| out.get_mut(key));
        let names = text.split('$').skip(1).map(|rest| {
            rest.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).next().unwrap_or_default()
        });
        if let Some(message) = message.filter(|_| !text.starts_with('#')) {
            message.variables.extend(names);
        }
    }
    out
}

fn empty(language: &Language) -> FluentBundle<FluentResource> {
    let locale = language.as_str().parse().ok();
    let mut bundle = FluentBundle::new_concurrent(locale.into_iter().collect());
    // Values have their marks where they need them, see [`argument`].
    bundle.set_use_isolating(false);
    bundle
}

/// A message of one language, if it is there.
fn format_with(
    bundle: &FluentBundle<FluentResource>,
    key: &str,
    args: &FluentArgs<'_>,
) -> Option<Result<String, String>> {
    let pattern = bundle.get_message(key)?.value()?;
    let mut errors = Vec::new();
    let text = bundle.format_pattern(pattern, Some(args), &mut errors).into_owned();
    Some(errors.first().map_or(Ok(text), |error| Err(error.to_string())))
}

/// A value of a template, for a message: whole numbers decide plurals. Where it could be written in another direction
/// than the message, it stands between marks that keep its direction to itself (UAX #9 §2.4): a name must not turn
/// around what stands beside it.
pub(super) fn argument(value: &minijinja::Value, right_to_left: bool) -> FluentValue<'static> {
    if let (Ok(number), true) = (i64::try_from(value.clone()), value.is_number()) {
        return number.into();
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    // A plain word needs no marks, and may be what a message decides by.
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let isolated = !plain && (right_to_left || text.chars().any(is_right_to_left));
    FluentValue::String(Cow::Owned(if isolated { format!("\u{2068}{text}\u{2069}") } else { text }))
}

/// Whether a character is of a script that is written from right to left, or turns the direction around.
const fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// The line of a byte.
fn line(source: &str, at: usize) -> usize {
    source.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

/// Problems with their place in a file.
pub(super) fn at(file: &str, problems: Vec<(usize, String)>) -> Vec<String> {
    problems.into_iter().map(|(line, problem)| format!("{file}:{line}: {problem}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Each message of a source with the values that it uses.
    fn used(source: &str) -> BTreeMap<&str, BTreeSet<&str>> {
        messages(source).into_iter().map(|(key, message)| (key, message.variables.into_iter().collect())).collect()
    }

    #[test]
    fn each_built_in_language_has_every_message_with_the_same_values() {
        let english = used(ENGLISH);
        assert!(english.len() > 150 && english["date"].len() == 4, "{english:?}");
        for (tag, source) in OTHERS {
            let own = used(source);
            let differ: Vec<_> = english.iter().filter(|(key, values)| own.get(*key) != Some(values)).collect();
            let unknown: Vec<_> = own.keys().filter(|key| !english.contains_key(*key)).collect();
            assert!(differ.is_empty() && unknown.is_empty(), "{tag}: {differ:?} {unknown:?}");
        }
        let texts = Texts::built_in().unwrap();
        for language in texts.languages() {
            assert_eq!(texts.missing(language), [""; 0], "{}", language.as_str());
        }
        let names: Vec<_> = texts.names().into_iter().map(|(tag, name)| format!("{} {name}", tag.as_str())).collect();
        assert_eq!(names, ["de Deutsch", "en English"]);
    }

    #[test]
    fn a_value_keeps_its_direction_to_itself() {
        let text = |value: &str, right_to_left| match argument(&value.into(), right_to_left) {
            FluentValue::String(text) => text.into_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text("ada@example.org", false), "ada@example.org");
        assert_eq!(text("ada@example.org", true), "\u{2068}ada@example.org\u{2069}");
        assert_eq!(text("עדה", false), "\u{2068}עדה\u{2069}");
        assert_eq!(text("\u{202e}ada", false), "\u{2068}\u{202e}ada\u{2069}");
        assert_eq!((text("not_found", true), text("ada", true)), ("not_found".to_owned(), "ada".to_owned()));
        assert!(matches!(argument(&2.into(), true), FluentValue::Number(_)));
    }

    #[test]
    fn a_message_that_only_english_has_is_missing() {
        let mut texts = Texts::built_in().unwrap();
        let [french, austrian]: [Language; 2] = ["fr", "de-at"].map(|tag| tag.parse().unwrap());
        texts.add(&french, "sign-in = Se connecter\n").unwrap();
        texts.add(&austrian, "sign-in = Einsteigen\n").unwrap();
        let missing = texts.missing(&french);
        assert!(missing.contains(&"date") && !missing.contains(&"sign-in"), "{missing:?}");
        assert!(texts.missing(&austrian).is_empty(), "the rest is in German");
        assert!(texts.names().contains(&(french, "fr".to_owned())), "it does not say what it is called");
    }
}
