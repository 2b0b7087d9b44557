//! What templates can call: `t('key', name=value)` and `say(text)` for messages, `date(ms)` and `instant(ms)` for
//! times, `link(page)` for pages of the same sign-in, `link(page, w)` for those of a
//! mail that is waited for, `asset(name)`, and the filter `url` for every other address.

use std::{fmt::Write, sync::Arc};

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
        dates,
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
            args.set(name.to_owned(), texts::argument(&values.get::<Value>(name)?));
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
                args.set(name.to_string(), texts::argument(&values.get_item(&name)?));
            }
        }
        format(&all, &own, key.as_str().unwrap_or_default(), &args)
    });
    let (all, own) = english;
    environment
        .add_function("date", move |ms: i64| format(&all, &own, "date", &dates::args(Timestamp::from_millis(ms))));
    environment.add_function("instant", |ms: i64| Timestamp::from_millis(ms).to_string());
    environment.add_function("link", link);
    let addresses: Vec<(String, String)> = ["style.css", "script.js"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), assets.address(name)?)))
        .collect();
    environment.add_function("asset", move |name: &str| {
        let found = addresses.iter().find(|(one, _)| one == name).map(|(_, address)| address.clone());
        found.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "there is no such asset"))
    });
    environment.add_filter("url", url);
}

fn format(texts: &Texts, language: &Language, key: &str, args: &FluentArgs<'_>) -> Result<String, Error> {
    texts.format(language, key, args).map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))
}

/// The address of a page under the prefix, with the sign-in under way and, if one is given, the mail that is waited for:
/// the address then shows the same page, however it is come to.
fn link(state: &State<'_, '_>, page: &str, waiting: Option<&str>) -> Result<String, Error> {
    let look = state.lookup("look").unwrap_or_default();
    let prefix = look.get_attr("prefix")?;
    let flow = look.get_attr("flow")?;
    let parts = [("r", flow.as_str()), ("w", waiting)];
    let parts = parts.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", escape_query(value?))));
    let query = parts.collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    Ok(format!("{}/{page}{mark}{query}", prefix.as_str().unwrap_or_default()))
}

/// Percent-encodes everything but the unreserved characters (RFC 3986 §2.3).
fn escape_query(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => out.push(byte.into()),
            // Writing into a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
        out
    })
}

/// An address that a browser may follow or load: a path, or a URL that runs nothing.
fn url(text: &str) -> String {
    let path = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
    let good = path || text.starts_with("https://") || text.starts_with("http://") || text.starts_with("data:image/");
    if good { text.to_owned() } else { "#".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a24_an_address_runs_nothing() {
        for good in ["/", "/a?b=c", "https://shop.example/", "http://localhost:8000/", "data:image/svg+xml,x"] {
            assert_eq!(url(good), good);
        }
        for bad in [
            "javascript:alert(1)",
            "//evil.example",
            "/\\evil.example",
            "data:text/html,x",
            "x",
            "",
            " /",
            "vbscript:x",
        ] {
            assert_eq!(url(bad), "#", "{bad}");
        }
    }
}
