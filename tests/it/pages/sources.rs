//! The sources of the pages: messages and templates agree, and no text stands outside the messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use chancery::web::pages::Text;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/pages")
}

fn templates() -> BTreeMap<String, String> {
    let files = fs::read_dir(folder().join("templates")).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// The names of the messages.
fn messages() -> BTreeSet<String> {
    let text = fs::read_to_string(folder().join("texts/en.ftl")).unwrap();
    let starts = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()));
    starts.map(|line| line.split_once(" =").unwrap().0.to_owned()).collect()
}

/// A template without comments and with its tags cut out.
fn without_tags(template: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out += before;
        let end = match after.chars().next() {
            Some('{') => "}}",
            Some('%') => "%}",
            Some('#') => "#}",
            _ => panic!("a bare brace: {after}"),
        };
        rest = after.split_once(end).unwrap().1;
    }
    out + rest
}

#[test]
fn every_message_is_used_and_every_message_used_exists() {
    let mut used: BTreeSet<String> = Text::KEYS.iter().map(|key| (*key).to_owned()).collect();
    used.extend(["date", "language-name"].map(str::to_owned));
    for (name, text) in templates() {
        for (at, _) in text.match_indices("t('") {
            if text[..at].ends_with(char::is_alphabetic) {
                continue;
            }
            let call = &text[at + 3..];
            let (key, _) = call.split_once('\'').unwrap_or_else(|| panic!("{name}: {call}"));
            used.insert(key.to_owned());
        }
    }
    let messages = messages();
    let missing: Vec<_> = used.difference(&messages).collect();
    let unused: Vec<_> = messages.difference(&used).collect();
    assert!(missing.is_empty() && unused.is_empty(), "missing {missing:?}, unused {unused:?}");
    assert_eq!(Text::KEYS.iter().collect::<BTreeSet<_>>().len(), Text::KEYS.len(), "two texts of one message");
}

#[test]
fn no_template_contains_text_of_its_own() {
    for (name, text) in templates() {
        let rest = without_tags(&text);
        for piece in rest.split('>').filter_map(|piece| piece.split('<').next()) {
            // Inside a tag that a condition has split, attributes remain; they hold no text, as below.
            assert!(
                !piece.chars().any(char::is_alphabetic) || piece.contains("=\"") || is_attribute(piece),
                "{name}: {piece:?}"
            );
        }
        for spoken in ["aria-label=\"", "title=\"", "alt=\"", "placeholder=\""] {
            for value in rest.split(spoken).skip(1) {
                let value = value.split('"').next().unwrap();
                assert!(!value.chars().any(char::is_alphabetic), "{name}: {spoken}{value}");
            }
        }
    }
}

/// Names of attributes and classes that stand between two conditions.
fn is_attribute(piece: &str) -> bool {
    let known =
        ["required", "autofocus", "checked", "open", "data-clean-address", "narrow", "wide", "secondary", "primary"];
    piece.split(|c: char| c.is_whitespace() || c == '"').all(|word| word.is_empty() || known.contains(&word))
}

#[test]
fn a24_every_address_that_is_a_value_goes_through_the_filter() {
    for (name, text) in templates() {
        for attribute in ["href=\"{{", "src=\"{{", "action=\"{{"] {
            for value in text.split(attribute).skip(1) {
                let value = value.split("}}").next().unwrap().trim();
                let good =
                    value.starts_with("link('") || value == "look.prefix" || value == "url" || value.ends_with("| url");
                assert!(good, "{name}: {value}");
            }
        }
        // What is not escaped must be there for all to see.
        assert!(!text.contains("safe") && !text.contains("autoescape"), "{name}");
    }
}
