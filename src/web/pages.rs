//! The pages that people see: server-rendered, usable without JavaScript. Templates, texts, style sheet and script
//! are built in; files of the same names in a folder replace them, and everything is rendered with sample values
//! before the server starts. Imports nothing of the HTTP side: a page is made of a [`Look`] and a [`View`].

mod accent;
mod account;
mod assets;
mod code;
mod dates;
mod document;
mod error_page;
mod factors;
mod form;
mod language;
mod links;
mod look;
mod names;
mod sample;
mod step_name;
mod template;
mod text;
mod texts;
mod view;

use std::{fmt, path::Path, sync::Arc};

pub use self::{
    accent::Accent,
    account::{Account, AccountAction, Attribute, PendingEmail, Session},
    assets::Asset,
    document::{Surroundings, done},
    error_page::{ErrorKind, ErrorPage},
    factors::{Factor, FactorKind, Factors, NewPasskey, NewTotp, RecoveryCodes},
    form::{Field, FieldError, Form, Hidden, Notice, ShownOnce, Tone, violations},
    look::{LanguageChoice, Look},
    sample::Sample,
    step_name::StepName,
    text::Text,
    view::{
        CodeSent, Dev, DevUser, Forgotten, GoOn, Home, LoggingOut, Opened, OpenedKind, Register, ResetPassword, SignIn,
        SignedOut, StartAgain, Step, StepKind, SwitchUser, Try, Verify, VerifyKind, View,
    },
};
use self::{assets::Assets, template::Templates};
use crate::domain::mail::Language;

/// How many missing messages are named.
const MAX_NAMED: usize = 20;

/// Everything that pages are made of. Clones share it.
#[derive(Clone)]
pub struct Pages {
    parts: Arc<Parts>,
}

struct Parts {
    templates: Templates,
    assets: Assets,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

impl Pages {
    /// Loads templates and assets. Those in `folder` replace the built-in ones.
    ///
    /// # Errors
    /// Every problem, each with file and line.
    pub fn new(folder: Option<&Path>) -> Result<Self, Vec<String>> {
        Self::with_texts(folder, None)
    }

    /// The same with texts. Those in the folder `texts` replace single built-in ones and add languages.
    ///
    /// # Errors
    /// Every problem, each with file and line.
    pub fn with_texts(folder: Option<&Path>, texts: Option<&Path>) -> Result<Self, Vec<String>> {
        let (templates, assets) = template::load(folder, texts)?;
        Ok(Self { parts: Arc::new(Parts { templates, assets }) })
    }

    /// A line for each language that lacks messages, which are in English instead: how many, and the first of them.
    #[must_use]
    pub fn untranslated(&self) -> Vec<String> {
        let lines = self.parts.templates.untranslated().iter().map(|(language, missing)| {
            let (tag, count) = (language.as_str(), missing.len());
            let first = missing.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
            let more = if count > MAX_NAMED { ", …" } else { "" };
            format!("the language {tag} lacks {count} messages, which are in English: {first}{more}")
        });
        lines.collect()
    }

    /// Renders a page. It cannot fail: where a template of the operator does, the built-in one is shown and the
    /// problem is logged.
    #[must_use]
    pub fn render(&self, look: &Look<'_>, view: &View) -> String {
        self.parts.templates.render(look, view)
    }

    /// A page in JSON; nothing for one that has no such form.
    #[must_use]
    pub fn document(&self, look: &Look<'_>, view: &View, surroundings: Surroundings<'_>) -> Option<String> {
        document::of(look, view, surroundings, |text| self.parts.templates.say(&look.language, text))
    }

    /// The heading of an error page, and what stands below it.
    #[must_use]
    pub fn error(&self, look: &Look<'_>, page: &ErrorPage) -> [String; 2] {
        self.parts.templates.error(&look.language, page)
    }

    /// The asset with this name in its URL, such as `style-0123456789abcdef.css` or `accent-1f4fa3.css`. Its content
    /// never changes.
    #[must_use]
    pub fn asset(&self, name: &str) -> Option<Asset> {
        self.parts.assets.get(name)
    }

    /// The language for a reader: the first of those wanted that there are texts in, or of `Accept-Language`.
    #[must_use]
    pub fn language(&self, wanted: impl Iterator<Item = Language>, accept_language: Option<&str>) -> Language {
        language::choose(self.parts.templates.languages(), wanted, accept_language)
    }

    /// The languages that there are texts in.
    #[must_use]
    pub fn languages(&self) -> Vec<Language> {
        self.parts.templates.languages().cloned().collect()
    }

    /// Whether there are texts in exactly this language.
    #[must_use]
    pub fn speaks(&self, language: &Language) -> bool {
        self.parts.templates.languages().any(|one| one == language)
    }

    /// The first of these language tags, parted by spaces, that there are texts in (`OpenID` Connect Core §3.1.2.1).
    #[must_use]
    pub fn first_spoken(&self, tags: &str) -> Option<Language> {
        language::first_spoken(self.parts.templates.languages(), tags)
    }
}
