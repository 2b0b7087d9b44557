//! Renders every page before the server starts, and checks that each has what it needs.

use std::collections::BTreeSet;

use super::{Templates, place};
use crate::web::pages::Sample;

/// Every problem, each once.
pub(super) fn all(templates: &Templates) -> Vec<String> {
    let mut problems = BTreeSet::new();
    for language in templates.languages() {
        for sample in Sample::all() {
            let mut look = sample.look.clone();
            look.language = language.clone();
            match templates.try_render(&look, &sample.view) {
                Ok(page) => problems.extend(missing(templates, &sample, &page)),
                Err(problem) => drop(problems.insert(problem)),
            }
        }
    }
    problems.into_iter().collect()
}

/// What is not on a page.
fn missing(templates: &Templates, sample: &Sample, page: &str) -> Vec<String> {
    let file = place(&templates.sources, sample.view.template(), None);
    let ids = sample.ids.iter().filter(|id| !page.contains(&format!("id=\"{id}\"")));
    let ids = ids.map(|id| format!("{file}: must have an element with id=\"{id}\""));
    let sent = sample.sends.iter().filter(|name| {
        !(page.contains(&format!("name=\"{name}\"")) && page.contains(&format!("value=\"{}\"", Sample::value(name))))
    });
    let sent = sent.map(|name| format!("{file}: must send the hidden field name=\"{name}\" with its value"));
    ids.chain(sent).collect()
}
