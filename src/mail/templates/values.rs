//! What templates can show of a letter, and dates in the form of its language.

use minijinja::Value;

use super::Templates;
use crate::{
    domain::mail::{Asked, Language},
    mail::Letter,
    time::Timestamp,
};

/// The values that are dates. They are queued in a form that no language owns.
const DATES: [&str; 3] = ["at", "asked_at", "until"];

/// A template that was found for a language.
pub(super) struct Found {
    /// Its name.
    pub(super) name: String,
    /// The language in its name; nothing for the default, which is in English.
    language: Option<Language>,
}

impl Templates {
    /// The template for a language: in it, in a more general one, or the default.
    pub(super) fn find(&self, stem: &str, language: &Language, part: &str) -> Found {
        let mut tags = language.fallbacks().map(|tag| (format!("{stem}.{tag}.{part}"), tag));
        match tags.find(|(name, _)| self.sources.contains_key(name)) {
            Some((name, tag)) => Found { name, language: tag.parse().ok() },
            None => Found { name: format!("{stem}.{part}"), language: None },
        }
    }

    /// The values of a letter for a template.
    ///
    /// # Errors
    /// The template of dates fails.
    pub(super) fn values(&self, letter: &Letter, found: &Found) -> Result<Value, String> {
        let language = found.language.clone().unwrap_or_default();
        let direction = if language.is_right_to_left() { "rtl" } else { "ltr" };
        let own = [
            ("to", letter.to.to_string()),
            ("until", letter.expires_at.for_people()),
            ("language", language.as_str().to_owned()),
            ("direction", direction.to_owned()),
        ];
        // A mail that an older version has queued does not have them.
        let absent = Asked::PARAMS.into_iter().filter(|name| !letter.params.contains_key(*name));
        let absent = absent.map(|name| (name, String::new()));
        let given = letter.params.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let minutes = ((letter.expires_at.since(letter.now).seconds() + 59) / 60).max(1);
        let mut values = vec![("minutes", Value::from(minutes))];
        for (name, text) in given.chain(own).chain(absent) {
            let text = if DATES.contains(&name) { self.date(text, found.language.as_ref())? } else { text };
            // Values were cleaned when the mail was queued. Make sure again that none starts a new line.
            values.push((name, Value::from(text.replace(char::is_control, " "))));
        }
        Ok(Value::from_pairs(values))
    }

    /// A date as the language of a mail writes it: as it is, if there is no template for that.
    fn date(&self, text: String, language: Option<&Language>) -> Result<String, String> {
        let Some(at) = read(&text) else { return Ok(text) };
        let name = match language {
            None => "date.txt".to_owned(),
            Some(language) => match self.find("date", language, "txt") {
                Found { language: None, .. } => return Ok(text),
                Found { name, .. } => name,
            },
        };
        let rendered = self.environment.get_template(&name).and_then(|template| template.render(parts(at)));
        let rendered = rendered.map_err(|error| self.problem(&name, &error))?;
        Ok(rendered.trim().to_owned())
    }
}

/// Reads what [`Timestamp::for_people`] has written.
fn read(text: &str) -> Option<Timestamp> {
    let (day, rest) = text.split_once(' ')?;
    format!("{day}T{}:00Z", rest.strip_suffix(" UTC")?).parse().ok()
}

/// What the template of dates is given. The time is that of UTC.
fn parts(at: Timestamp) -> Value {
    let text = at.to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
    let number = |from, to| Value::from(part(from, to).parse::<i64>().unwrap_or(0));
    Value::from_pairs([
        ("year", number(0, 4)),
        ("month", number(5, 7)),
        ("day", number(8, 10)),
        ("time", Value::from(part(11, 16))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_as_it_was_queued() {
        let at = Timestamp::from_millis(1_795_943_700_000);
        assert_eq!((at.for_people().as_str(), read(&at.for_people())), ("2026-11-29 09:15 UTC", Some(at)));
        for other in ["", "2026-11-29", "2026-11-29 09:15", "29 November 2026, 09:15 UTC", "x y UTC"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
