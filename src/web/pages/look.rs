//! What all pages of a site have in common.

use serde::Serialize;

use super::{Accent, Hidden, Notice};
use crate::domain::mail::Language;

/// What the choice of a language sends, besides the language.
#[derive(Clone, Debug, Serialize)]
pub struct LanguageChoice {
    /// The form token, sent as `csrf`.
    pub csrf: Hidden,
    /// The path of the page that it was chosen on, sent as `return_to`.
    pub return_to: Hidden,
}

/// The site and the reader that a page is for.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// The path under which the pages stand, such as `/auth`.
    pub prefix: &'a str,
    /// The name of the application, as people know it.
    pub display_name: &'a str,
    /// The logo of the application: a URL that the pages' `img-src` admits.
    pub logo_uri: Option<&'a str>,
    /// The colour of the application.
    pub accent: Option<Accent>,
    /// The application's own front page.
    pub home: &'a str,
    /// Whether people can make accounts for themselves.
    pub registration: bool,
    /// The fewest characters of a new password.
    pub min_password: usize,
    /// The language of the reader.
    pub language: Language,
    /// The language that `ui_locales` has asked for, which links outside of a flow carry on.
    pub ui_locales: Option<&'a str>,
    /// The sealed state of the sign-in under way (`r`), which links and forms carry on.
    pub flow: Option<&'a str>,
    /// Something to say above the page.
    pub notice: Option<Notice>,
    /// What the choice of a language sends; without it, there is no choice.
    pub choice: Option<LanguageChoice>,
}

impl<'a> Look<'a> {
    /// A look with nothing but a prefix and a name, in English.
    #[must_use]
    pub fn plain(prefix: &'a str, display_name: &'a str) -> Self {
        Self {
            prefix,
            display_name,
            logo_uri: None,
            accent: None,
            home: "/",
            registration: false,
            min_password: 15,
            language: Language::default(),
            ui_locales: None,
            flow: None,
            notice: None,
            choice: None,
        }
    }

    /// The same look with a notice.
    #[must_use]
    pub fn with_notice(mut self, notice: Notice) -> Self {
        self.notice = Some(notice);
        self
    }
}
