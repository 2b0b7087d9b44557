//! Templates: built in, or from files of the same names.

mod check;
mod functions;
mod say;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context, syntax::SyntaxConfig, value::Serde};
use serde::Serialize;

use super::{
    LanguageChoice, Look, Notice, View,
    assets::{self, Assets},
    language,
    texts::{self, Texts},
};
use crate::domain::{mail::Language, password_policy::PasswordPolicy};

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every built-in template.
        const BUILT_IN: &[(&str, &str)] = &[$(($name, include_str!(concat!("templates/", $name)))),*];
    };
}

built_in![
    "layout.html",
    "macros.html",
    "sign_in.html",
    "switch_user.html",
    "register.html",
    "register_sent.html",
    "verify.html",
    "opened.html",
    "forgotten.html",
    "forgotten_sent.html",
    "reset.html",
    "step.html",
    "account.html",
    "recovery_codes.html",
    "logout.html",
    "signed_out.html",
    "cookies_blocked.html",
    "start_again.html",
    "go_on.html",
    "error.html",
    "home.html",
    "dev.html",
];

/// What a page may cost: far more than any does, and still no time at all.
const FUEL: u64 = 2_000_000;

/// What remains if not even the built-in template renders.
const LAST_RESORT: &str = "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>Error</title><h1>Error</h1>";

/// The templates, one environment for each language.
pub(super) struct Templates {
    environments: BTreeMap<Language, Environment<'static>>,
    /// The built-in ones, in English.
    built_in: Environment<'static>,
    /// Every template by name, with the file it came from, if any.
    sources: BTreeMap<String, Option<PathBuf>>,
    /// What each language calls itself.
    names: Vec<(Language, String)>,
    /// The messages of each language that are in English because it has none.
    untranslated: Vec<(Language, Vec<&'static str>)>,
}

/// Loads templates, assets and texts. The files of the two folders replace or extend the built-in ones.
pub(super) fn load(folder: Option<&Path>, texts: Option<&Path>) -> Result<(Templates, Assets), Vec<String>> {
    let mut loader = Loader {
        sources: BUILT_IN.iter().map(|(name, text)| ((*name).to_owned(), (None, (*text).to_owned()))).collect(),
        texts: Texts::built_in()?,
        assets: Assets::built_in(),
        problems: Vec::new(),
    };
    let built_in = loader.sources.iter().map(|(name, (_, text))| (name.clone(), text.clone())).collect();
    for path in folder.map(|f| loader.files(f)).unwrap_or_default() {
        loader.add(path);
    }
    for path in texts.map(|f| loader.files(f)).unwrap_or_default() {
        loader.add_texts(&path);
    }
    loader.finish(built_in)
}

struct Loader {
    sources: BTreeMap<String, (Option<PathBuf>, String)>,
    texts: Texts,
    assets: Assets,
    problems: Vec<String>,
}

impl Loader {
    /// The files in a folder, except hidden ones, which belong to editors or to mounted volumes.
    fn files(&mut self, folder: &Path) -> Vec<PathBuf> {
        let listed = fs::read_dir(folder)
            .and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>());
        let mut paths = listed.unwrap_or_else(|error| {
            self.problems.push(format!("{}: cannot be read: {error}", folder.display()));
            Vec::new()
        });
        paths.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
        paths.sort();
        paths
    }

    fn add(&mut self, path: PathBuf) {
        let name = file_name(&path);
        let asset = assets::BUILT_IN.iter().any(|(known, _)| *known == name);
        if !asset && !self.sources.contains_key(&name) {
            let what = if is_texts(&name) {
                "is texts, and belongs into the directory of page texts".to_owned()
            } else {
                format!("is not a file of the pages; valid names are {}", self.names())
            };
            return self.problems.push(format!("{}: {what}", path.display()));
        }
        match self.read(&path) {
            Some(text) if asset => self.assets.put(&name, text.into()),
            Some(text) => drop(self.sources.insert(name, (Some(path), text))),
            None => {}
        }
    }

    fn add_texts(&mut self, path: &Path) {
        let name = file_name(path);
        let language = name.strip_suffix(".ftl").and_then(|tag| tag.parse::<Language>().ok());
        let Some(language) = language.filter(|language| name == format!("{}.ftl", language.as_str())) else {
            let what = "is not a file of texts; valid names are LANGUAGE.ftl such as en.ftl, de.ftl or pt-br.ftl";
            return self.problems.push(format!("{}: {what}", path.display()));
        };
        let Some(text) = self.read(path) else { return };
        if let Err(problems) = self.texts.add(&language, &text) {
            self.problems.extend(texts::at(&path.display().to_string(), problems));
        }
    }

    fn read(&mut self, path: &Path) -> Option<String> {
        let text = fs::read_to_string(path);
        text.map_err(|error| self.problems.push(format!("{}: cannot be read: {error}", path.display()))).ok()
    }

    fn names(&self) -> String {
        let assets = assets::BUILT_IN.iter().map(|(name, _)| *name);
        let names: Vec<&str> = self.sources.keys().map(String::as_str).chain(assets).collect();
        names.join(", ")
    }

    fn finish(mut self, built_in: BTreeMap<String, String>) -> Result<(Templates, Assets), Vec<String>> {
        let english = Arc::new(Texts::built_in()?);
        let base = parse(&built_in, &BTreeMap::new(), &mut self.problems);
        let sources = self.sources.iter().map(|(name, (path, _))| (name.clone(), path.clone())).collect();
        let texts = self.sources.into_iter().map(|(name, (_, text))| (name, text)).collect();
        let own = parse(&texts, &sources, &mut self.problems);
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let all = Arc::new(self.texts);
        let names = all.names();
        let untranslated = all.languages().map(|language| (language.clone(), all.missing(language)));
        let untranslated = untranslated.filter(|(_, missing)| !missing.is_empty()).collect();
        let environments = all.languages().map(|language| {
            let mut environment = own.clone();
            functions::add(&mut environment, &all, language, &self.assets);
            (language.clone(), environment)
        });
        let environments = environments.collect();
        let mut templates = Templates { environments, built_in: base, sources, names, untranslated };
        functions::add(&mut templates.built_in, &english, &Language::default(), &self.assets);
        let problems = check::all(&templates);
        if problems.is_empty() { Ok((templates, self.assets)) } else { Err(problems) }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a file holds texts, by its name.
fn is_texts(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == "ftl")
}

/// An environment of these templates.
fn parse(
    texts: &BTreeMap<String, String>,
    sources: &BTreeMap<String, Option<PathBuf>>,
    problems: &mut Vec<String>,
) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_fuel(Some(FUEL));
    match SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build() {
        Ok(syntax) => environment.set_syntax(syntax),
        Err(error) => problems.push(error.to_string()),
    }
    for (name, text) in texts {
        if let Err(error) = environment.add_template_owned(name.clone(), text.clone()) {
            problems.push(problem(sources, name, &error));
        }
    }
    environment
}

impl Templates {
    pub(super) fn languages(&self) -> impl Iterator<Item = &Language> + Clone {
        self.environments.keys()
    }

    /// The messages of each language that are in English because it has none.
    pub(super) fn untranslated(&self) -> &[(Language, Vec<&'static str>)] {
        &self.untranslated
    }

    pub(super) fn render(&self, look: &Look<'_>, view: &View) -> String {
        self.try_render(look, view).unwrap_or_else(|problem| {
            tracing::error!(%problem, "a page template failed; the built-in one is shown");
            render(&self.built_in, &self.names, &Language::default(), (look, view)).unwrap_or_else(|error| {
                tracing::error!(problem = self.problem(view.template(), &error), "a built-in page template failed");
                LAST_RESORT.to_owned()
            })
        })
    }

    /// Renders a page.
    ///
    /// # Errors
    /// The template, the line and what is wrong there; never a value.
    fn try_render(&self, look: &Look<'_>, view: &View) -> Result<String, String> {
        let language = language::find(self.languages(), &look.language).cloned().unwrap_or_default();
        let environment = self.environments.get(&language).unwrap_or(&self.built_in);
        render(environment, &self.names, &language, (look, view)).map_err(|error| self.problem(view.template(), &error))
    }

    fn problem(&self, name: &str, error: &minijinja::Error) -> String {
        problem(&self.sources, name, error)
    }
}

/// What templates know as `look`.
#[derive(Serialize)]
struct LookValues<'a> {
    prefix: &'a str,
    display_name: &'a str,
    logo_uri: Option<&'a str>,
    accent: Option<String>,
    home: &'a str,
    registration: bool,
    min_password: usize,
    min_password_beside: usize,
    language: &'a str,
    ui_locales: Option<&'a str>,
    flow: Option<&'a str>,
    notice: Option<&'a Notice>,
    languages: Vec<LanguageValues<'a>>,
    choice: Option<&'a LanguageChoice>,
}

/// A language to choose from.
#[derive(Serialize)]
struct LanguageValues<'a> {
    tag: &'a str,
    name: &'a str,
}

fn render(
    environment: &Environment<'_>,
    names: &[(Language, String)],
    language: &Language,
    (look, view): (&Look<'_>, &View),
) -> Result<String, minijinja::Error> {
    let values = LookValues {
        prefix: look.prefix,
        display_name: look.display_name,
        logo_uri: look.logo_uri,
        accent: look.accent.map(super::Accent::digits),
        home: look.home,
        registration: look.registration,
        min_password: look.min_password,
        min_password_beside: PasswordPolicy::beside(1).min_code_points,
        language: language.as_str(),
        ui_locales: look.ui_locales,
        flow: look.flow,
        notice: look.notice.as_ref(),
        languages: names.iter().map(|(tag, name)| LanguageValues { tag: tag.as_str(), name }).collect(),
        choice: look.choice.as_ref(),
    };
    let values = context! { look => Value::from(Serde(&values)), page => view.values() };
    environment.get_template(view.template())?.render(values)
}

/// Describes an error of the library, with its location. It does not quote values.
fn problem(sources: &BTreeMap<String, Option<PathBuf>>, name: &str, error: &minijinja::Error) -> String {
    let place = place(sources, error.name().unwrap_or(name), error.line());
    let what = error.detail().map_or_else(|| error.kind().to_string(), |d| format!("{}: {d}", error.kind()));
    format!("{place}: {what}")
}

/// File and line, for messages.
fn place(sources: &BTreeMap<String, Option<PathBuf>>, name: &str, line: Option<usize>) -> String {
    let file = match sources.get(name).and_then(Option::as_ref) {
        Some(path) => path.display().to_string(),
        None => format!("the built-in {name}"),
    };
    line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"))
}
