//! A page in JSON: what it asks for, what it says, and where it leads, for programs that draw their own. It has what the
//! HTML of the same page has.

mod account;
mod inputs;
mod parts;
mod views;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use self::{inputs::Input, parts::Parts};
use super::{Hidden, Look, StepName, Text, View};
use crate::time::Timestamp;

/// What a document says besides its page.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The origin of the site.
    pub origin: &'a str,
    /// Until when the form can be sent.
    pub expires_at: Option<Timestamp>,
}

/// A page in JSON.
#[derive(Serialize)]
struct Document<'a> {
    step: StepName,
    /// Where to send the fields, or those of an action.
    url: Option<String>,
    fields: Vec<Input>,
    actions: Vec<Action>,
    messages: Vec<Message>,
    links: BTreeMap<&'static str, String>,
    csrf: Option<&'a Hidden>,
    expire_time: Option<String>,
    #[serde(flatten)]
    about: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<Done>,
}

/// Something else than the form of the page that can be sent from it.
#[derive(Serialize)]
struct Action {
    name: &'static str,
    fields: Vec<Input>,
}

/// What a page says.
#[derive(Serialize)]
struct Message {
    code: &'static str,
    field: Option<&'static str>,
    text: String,
}

/// The way back to the application.
#[derive(Serialize)]
struct Done {
    location: String,
}

/// A page in JSON; nothing for one that has no such form. `say` words a message.
pub(super) fn of(
    look: &Look<'_>,
    view: &View,
    Surroundings { origin, expires_at }: Surroundings<'_>,
    say: impl Fn(&Text) -> String,
) -> Option<String> {
    let step = view.step()?;
    let Parts { url, form, mut fields, actions, links, about, leads_to } = views::of(view, look);
    let errors = form.map(|form| form.errors.as_slice()).unwrap_or_default();
    let notice = look.notice.as_ref().map(|notice| (None, &notice.text));
    let said = notice.into_iter().chain(errors.iter().map(|error| (error.field, &error.text)));
    let message = |(field, text): (Option<super::Field>, &Text)| Message {
        code: text.code(),
        field: field.map(super::Field::as_str),
        text: say(text),
    };
    if let Some(sealed) = form.and_then(|form| form.form.as_ref()) {
        fields.insert(0, Input::hidden("form", sealed.as_str()));
    }
    let document = Document {
        step,
        fields,
        actions,
        messages: said.map(message).collect(),
        links,
        csrf: form.filter(|_| url.is_some()).map(|form| &form.csrf),
        expire_time: expires_at.filter(|_| url.is_some()).map(|at| at.to_string()),
        url,
        about,
        done: leads_to.map(|path| Done { location: format!("{origin}{path}") }),
    };
    serde_json::to_string(&document).ok()
}

/// The end of a way: there is nothing more to ask for, and this is where it leads.
#[must_use]
pub fn done(location: &str) -> String {
    #[derive(Serialize)]
    struct End {
        step: StepName,
        done: Done,
    }
    let end = End { step: StepName::Done, done: Done { location: location.to_owned() } };
    serde_json::to_string(&end).unwrap_or_default()
}
