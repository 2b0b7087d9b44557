//! The pages that people see: server-rendered, usable without JavaScript. Templates, texts, style sheet and script
//! are built in; files of the same names in a folder replace them, and everything is rendered with sample values
//! before the server starts. Imports nothing of the HTTP side: a page is made of a [`Look`] and a [`View`].

mod accent;
mod account;
mod assets;
mod dates;
mod error_page;
mod form;
mod language;
mod look;
mod names;
mod sample;
mod template;
mod text;
mod texts;
mod view;

use std::{fmt, path::Path, sync::Arc};

pub use self::{
    accent::Accent,
    account::{Account, AccountAction, Attribute, PendingEmail, Session},
    assets::Asset,
    error_page::{ErrorKind, ErrorPage},
    form::{Field, FieldError, Form, Hidden, Notice, Tone, violations},
    look::Look,
    sample::Sample,
    text::Text,
    view::{
        CodeSent, Dev, DevUser, Forgotten, GoOn, Home, LoggingOut, Opened, OpenedKind, Register, ResetPassword, SignIn,
        SignedOut, StartAgain, Step, StepKind, SwitchUser, Try, Verify, VerifyKind, View,
    },
};
use self::{assets::Assets, template::Templates};
use crate::domain::mail::Language;

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
    /// Loads templates, texts and assets. Those in `folder` replace or extend the built-in ones.
    ///
    /// # Errors
    /// Every problem, each with file and line.
    pub fn new(folder: Option<&Path>) -> Result<Self, Vec<String>> {
        let (templates, assets) = template::load(folder)?;
        Ok(Self { parts: Arc::new(Parts { templates, assets }) })
    }

    /// Renders a page. It cannot fail: where a template of the operator does, the built-in one is shown and the
    /// problem is logged.
    #[must_use]
    pub fn render(&self, look: &Look<'_>, view: &View) -> String {
        self.parts.templates.render(look, view)
    }

    /// The asset with this name in its URL, such as `style-0123456789abcdef.css` or `accent-1f4fa3.css`. Its content
    /// never changes.
    #[must_use]
    pub fn asset(&self, name: &str) -> Option<Asset> {
        self.parts.assets.get(name)
    }

    /// The language for a reader: the one chosen, or the first of `Accept-Language` that there are texts in.
    #[must_use]
    pub fn language(&self, chosen: Option<&str>, accept_language: Option<&str>) -> Language {
        language::choose(self.parts.templates.languages(), chosen, accept_language)
    }
}
