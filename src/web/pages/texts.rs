//! The messages of the pages in every language: English is built in, other languages are files.

use std::{borrow::Cow, collections::BTreeMap};

use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};

use crate::domain::mail::Language;

/// The English messages.
const ENGLISH: &str = include_str!("texts/en.ftl");

/// The messages.
pub(super) struct Texts {
    bundles: BTreeMap<Language, FluentBundle<FluentResource>>,
}

impl Texts {
    /// The built-in messages.
    pub(super) fn built_in() -> Result<Self, Vec<String>> {
        let mut texts = Self { bundles: BTreeMap::new() };
        texts.add(&Language::default(), ENGLISH).map_err(|all| at("the built-in en.ftl", all))?;
        Ok(texts)
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
        let tags = language.fallbacks().chain([english.as_str()]);
        let mut bundles = tags.filter_map(|tag| self.bundles.iter().find(|(one, _)| one.as_str() == tag));
        let found = bundles.find_map(|(_, bundle)| format_with(bundle, key, args));
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
    // The marks would end up in titles and attributes. Nobody mixes directions here.
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

/// A value of a template, for a message: whole numbers decide plurals.
pub(super) fn argument(value: &minijinja::Value) -> FluentValue<'static> {
    match i64::try_from(value.clone()) {
        Ok(number) if value.is_number() => number.into(),
        _ => FluentValue::String(Cow::Owned(value.as_str().map_or_else(|| value.to_string(), str::to_owned))),
    }
}

/// The line of a byte.
fn line(source: &str, at: usize) -> usize {
    source.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

/// Problems with their place in a file.
pub(super) fn at(file: &str, problems: Vec<(usize, String)>) -> Vec<String> {
    problems.into_iter().map(|(line, problem)| format!("{file}:{line}: {problem}")).collect()
}
