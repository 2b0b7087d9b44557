//! Single messages, for pages that are not HTML.

use minijinja::{Environment, Error, Value, context, value::Serde};

use super::Templates;
use crate::{
    domain::mail::Language,
    web::pages::{ErrorPage, Text, language},
};

impl Templates {
    /// A message in words.
    pub(in crate::web::pages) fn say(&self, wanted: &Language, text: &Text) -> String {
        self.evaluate(wanted, "say(text)", &context! { text => Value::from(Serde(text)) })
    }

    /// The heading of an error page, and what stands below it.
    pub(in crate::web::pages) fn error(&self, wanted: &Language, page: &ErrorPage) -> [String; 2] {
        let kind = context! { kind => page.kind.as_str() };
        let title = self.evaluate(wanted, "t('error-title', kind=kind)", &kind);
        let detail = page.detail.as_ref().map(|text| self.say(wanted, text));
        [title, detail.unwrap_or_else(|| self.evaluate(wanted, "t('error-text', kind=kind)", &kind))]
    }

    /// What an expression of a template says, in English if it says nothing in the language of the reader.
    fn evaluate(&self, wanted: &Language, expression: &str, values: &Value) -> String {
        let language = language::find(self.languages(), wanted).cloned().unwrap_or_default();
        let environment = self.environments.get(&language).unwrap_or(&self.built_in);
        let said = evaluated(environment, expression, values).or_else(|error| {
            tracing::error!(problem = self.problem("a message", &error), "a message failed; the English one is said");
            evaluated(&self.built_in, expression, values)
        });
        said.unwrap_or_default()
    }
}

fn evaluated(environment: &Environment<'_>, expression: &str, values: &Value) -> Result<String, Error> {
    let said = environment.compile_expression(expression)?.eval(values.clone())?;
    Ok(said.as_str().map(str::to_owned).unwrap_or_default())
}
