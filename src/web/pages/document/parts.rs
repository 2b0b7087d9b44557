//! What a document consists of.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Action, inputs::Input};
use crate::web::pages::Form;

/// What a document consists of, but for what all have.
#[derive(Default)]
pub(super) struct Parts<'a> {
    pub(super) url: Option<String>,
    pub(super) form: Option<&'a Form>,
    pub(super) fields: Vec<Input>,
    pub(super) actions: Vec<Action>,
    /// Where the page leads, by the ids of its links.
    pub(super) links: BTreeMap<&'static str, String>,
    /// What else it says.
    pub(super) about: Map<String, Value>,
    /// The path that follows, where nothing is asked for.
    pub(super) leads_to: Option<String>,
}

impl<'a> Parts<'a> {
    /// Those of a page with a form.
    pub(super) fn form(form: &'a Form, url: String, fields: impl IntoIterator<Item = Input>) -> Self {
        Self { url: Some(url), form: Some(form), fields: fields.into_iter().collect(), ..Self::default() }
    }

    pub(super) fn link(mut self, id: &'static str, to: impl Into<String>) -> Self {
        self.links.insert(id, to.into());
        self
    }

    pub(super) fn about(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.about.insert(name.to_owned(), value.into());
        self
    }
}
