//! The pages in German: all of each page, and nothing in English.

use std::{collections::BTreeMap, fs, path::Path};

use chancery::web::pages::{Pages, Sample};

/// The messages of a language that are one line without values.
fn plain_messages(tag: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/pages/texts");
    let text = fs::read_to_string(folder.join(format!("{tag}.ftl"))).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(" = "));
    let plain = lines.filter(|(key, value)| !key.starts_with([' ', '#']) && !value.contains('{'));
    plain.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_page_is_in_german_and_none_of_it_in_english() {
    let (english, german) = (plain_messages("en"), plain_messages("de"));
    assert_eq!(english.len(), german.len());
    let foreign: Vec<_> = english
        .iter()
        .filter(|(key, text)| german[*key] != **text && text.len() > 6 && *key != "language-name")
        .collect();
    assert!(foreign.len() > 120, "{}", foreign.len());
    let pages = Pages::new(None).unwrap();
    let mut seen = 0;
    for mut sample in Sample::all() {
        sample.look.language = "de".parse().unwrap();
        let page = pages.render(&sample.look, &sample.view);
        assert!(page.contains("<html lang=\"de\" dir=\"ltr\">"), "{}", sample.name);
        for (key, text) in &foreign {
            let escaped = text.replace('\'', "&#x27;");
            assert!(!page.contains(&format!(">{escaped}<")), "{}: {key} is in English: {text}", sample.name);
            seen += usize::from(page.contains(german[*key].as_str()));
        }
        for id in sample.ids {
            assert!(page.contains(&format!("id=\"{id}\"")), "{}: {id}", sample.name);
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn dates_and_plurals_are_those_of_the_language() {
    let pages = Pages::new(None).unwrap();
    let account = |tag: &str| {
        let mut sample = Sample::all().into_iter().find(|sample| sample.name == "account").unwrap();
        sample.look.language = tag.parse().unwrap();
        pages.render(&sample.look, &sample.view)
    };
    assert!(account("en").contains(">31 December 2029, 00:00 UTC<"), "{}", account("en"));
    let german = account("de");
    assert!(german.contains(">31. Dezember 2029, 00:00 Uhr (UTC)<"), "{german}");
    assert!(german.contains("2 andere Sitzungen wurden beendet"), "{german}");
    for (minutes, says) in [(1, "in einer Minute wieder"), (5, "in 5 Minuten wieder")] {
        let mut sample = Sample::all().into_iter().find(|sample| sample.name == "error-too-many").unwrap();
        let chancery::web::pages::View::Error(page) = &mut sample.view else { panic!() };
        page.detail = Some(chancery::web::pages::Text::TooManyAttempts { minutes });
        sample.look.language = "de".parse().unwrap();
        let page = pages.render(&sample.look, &sample.view);
        assert!(page.contains(says), "{minutes}: {page}");
    }
}

#[test]
fn a_language_from_right_to_left_turns_the_page_around_and_keeps_values_apart() {
    let texts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/texts");
    let pages = Pages::with_texts(None, Some(&texts)).unwrap();
    let mut sample = Sample::all().into_iter().find(|sample| sample.name == "register-sent").unwrap();
    sample.look.language = "ar".parse().unwrap();
    let page = pages.render(&sample.look, &sample.view);
    assert!(page.contains("<html lang=\"ar\" dir=\"rtl\">"), "{page}");
    assert!(page.contains("\u{2068}ada@example.org\u{2069}"), "{page}");
    assert!(page.contains("<bdi>Example Shop</bdi>"), "{page}");
    // Codes and passwords are written from left to right in every language.
    let code = page.split("<input id=\"code\"").nth(1).unwrap().split('>').next().unwrap();
    assert!(code.contains("dir=\"ltr\""), "{code}");
    // A name from right to left does not turn around an English page.
    let mut switch = Sample::all().into_iter().find(|sample| sample.name == "switch-user").unwrap();
    let chancery::web::pages::View::SwitchUser(view) = &mut switch.view else { panic!() };
    view.name = "עדה".to_owned();
    assert!(pages.render(&switch.look, &switch.view).contains("as \u{2068}עדה\u{2069}"));
}
