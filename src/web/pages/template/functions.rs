//! What templates can call: `t('key', name=value)` and `say(text)` for messages, `date(ms)` and `instant(ms)` for
//! times, `link(page)` for pages of the same sign-in, `link(page, w)` for those of a
//! mail that is waited for, `asset(name)`, and the filter `url` for every other address.

use std::sync::Arc;

use fluent_bundle::FluentArgs;
use minijinja::{
    Environment, Error, ErrorKind, State, Value,
    value::{Kwargs, ValueKind},
};

use crate::{
    domain::mail::Language,
    time::Timestamp,
    web::pages::{
        assets::Assets,
        dates, links,
        texts::{self, Texts},
    },
};

/// Adds the functions, with messages in one language.
pub(super) fn add(environment: &mut Environment<'static>, texts: &Arc<Texts>, language: &Language, assets: &Assets) {
    let english = (Arc::clone(texts), language.clone());
    let (all, own) = english.clone();
    environment.add_function("t", move |key: &str, values: Kwargs| {
        let mut args = FluentArgs::new();
        for name in values.args() {
            args.set(name.to_owned(), texts::argument(&values.get::<Value>(name)?, own.is_right_to_left()));
        }
        values.assert_all_used()?;
        format(&all, &own, key, &args)
    });
    let (all, own) = english.clone();
    environment.add_function("say", move |text: Value| {
        let key = text.get_attr("key")?;
        let values = text.get_attr("args")?;
        let mut args = FluentArgs::new();
        if values.kind() == ValueKind::Map {
            for name in values.try_iter()? {
                args.set(name.to_string(), texts::argument(&values.get_item(&name)?, own.is_right_to_left()));
            }
        }
        format(&all, &own, key.as_str().unwrap_or_default(), &args)
    });
    let (all, own) = english;
    environment
        .add_function("date", move |ms: i64| format(&all, &own, "date", &dates::args(Timestamp::from_millis(ms))));
    environment.add_function("instant", |ms: i64| Timestamp::from_millis(ms).to_string());
    environment.add_function("link", link);
    let addresses: Vec<(String, String)> = ["style.css", "script.js", "passkeys.js"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), assets.address(name)?)))
        .collect();
    environment.add_function("asset", move |name: &str| {
        let found = addresses.iter().find(|(one, _)| one == name).map(|(_, address)| address.clone());
        found.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "there is no such asset"))
    });
    environment.add_filter("url", links::safe);
}

fn format(texts: &Texts, language: &Language, key: &str, args: &FluentArgs<'_>) -> Result<String, Error> {
    texts.format(language, key, args).map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))
}

/// The address of a page under the prefix.
fn link(state: &State<'_, '_>, page: &str, waiting: Option<&str>) -> Result<String, Error> {
    let look = state.lookup("look").unwrap_or_default();
    let (prefix, flow) = (look.get_attr("prefix")?, look.get_attr("flow")?);
    let asked = look.get_attr("ui_locales")?;
    let of = (flow.as_str(), asked.as_str());
    Ok(links::link_to(prefix.as_str().unwrap_or_default(), of, page, waiting))
}
