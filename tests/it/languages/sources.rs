//! Whatever a page says stands in a message file: not in a template, a script, a style sheet or the program.

mod literals;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::literals::{Literal, literals};
use crate::source::code;

/// Literals with words that no page shows, by file and beginning, and where they go instead.
const ELSEWHERE: &[(&str, &str)] = &[
    // Answers where no page can be shown: no site was found, or a program asks.
    ("browser.rs", "A service worker has no place here."),
    ("browser.rs", "Not found."),
    ("browser/home.rs", "Chancery, the identity provider "),
    ("browser/log.rs", "This takes too long."),
    ("browser/log.rs", "this takes too long;"),
    ("browser/form/json.rs", ""),
    ("browser/json.rs", ""),
    ("browser/token.rs", ""),
    ("browser/site.rs", ""),
    ("browser/problem.rs", ""),
    ("browser/session.rs", ""),
    // Errors of the program, which a page shows as messages of its own.
    ("browser/account/actions.rs", "must not be empty"),
    ("browser/answer.rs", "a path is no header"),
    ("pages/text.rs", "must "),
    // Headers, cookies and media types.
    ("browser/account/actions.rs", "attachment; "),
    ("browser/cookies/set_cookie.rs", ""),
    ("browser/headers.rs", ""),
    ("pages/assets.rs", "text/"),
    // Problems of what applications keep: programs read them.
    ("browser/data.rs", ""),
    ("browser/data/conditions.rs", ""),
    // Tokens of HTML.
    ("pages/document/inputs.rs", "username webauthn"),
    // Commands to type.
    ("browser/home.rs", "{{"),
    // Style sheets, sample values, and what is wrong with an operator's files.
    ("pages/accent.rs", ":root"),
    ("pages/sample.rs", ""),
    ("pages/sample/account.rs", ""),
    ("pages/template.rs", ""),
    ("pages/template/check.rs", ""),
    ("pages/template/functions.rs", "there is no such asset"),
    ("pages/texts.rs", ""),
    ("pages.rs", "the language {tag} lacks "),
    // Names of types, for the log; an expression of a template.
    ("pages.rs", "Pages"),
    ("pages/form.rs", "Hidden"),
    ("pages/text.rs", "Text"),
    ("pages/template/say.rs", ""),
];

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web")
}

/// The sources of the pages, by their paths below `src/web`, without tests.
fn sources() -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![web().join("browser"), web().join("pages")]);
    let mut add = |path: &Path| {
        let name = path.strip_prefix(web()).unwrap().to_str().unwrap().to_owned();
        if !name.ends_with("tests.rs") {
            found.push((name, code(&fs::read_to_string(path).unwrap())));
        }
    };
    add(&web().join("browser.rs"));
    add(&web().join("pages.rs"));
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                add(&path);
            }
        }
    }
    found
}

/// Whether people would read it as words: two of them in a row, or one that begins a sentence. Values do not count, and
/// what is joined by a dash or the like is a name or an address.
fn is_wording(text: &str) -> bool {
    let parts = text.split('{').enumerate();
    let fixed = parts.map(|(n, part)| if n == 0 { part } else { part.split_once('}').map_or("", |(_, rest)| rest) });
    let text = fixed.collect::<Vec<_>>().join("{");
    let joined = |c: char| c.is_alphanumeric() || "'’_-/.:={".contains(c);
    let words = text.split(|c: char| !joined(c)).map(|word| word.trim_matches(['.', ':', '\'']));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let is_word =
        |word: &str| word.chars().count() >= 2 && word.chars().all(|c| c.is_alphabetic() || c == '\'' || c == '’');
    let begins = |word: &str| {
        is_word(word) && word.starts_with(char::is_uppercase) && word.chars().skip(1).all(char::is_lowercase)
    };
    words.windows(2).any(|pair| is_word(pair[0]) && is_word(pair[1])) || words.first().is_some_and(|word| begins(word))
}

/// What of a source is wording that may reach a page.
fn wording<'a>(file: &str, source: &'a str) -> Vec<Literal<'a>> {
    let known = |text: &str| ELSEWHERE.iter().any(|(of, start)| *of == file && text.starts_with(start));
    literals(source).into_iter().filter(|literal| is_wording(literal.text) && !known(literal.text)).collect()
}

#[test]
fn no_source_of_the_pages_has_wording_of_its_own() {
    let sources = sources();
    assert!(sources.len() > 40, "{}", sources.len());
    for (file, source) in &sources {
        let found = wording(file, source).into_iter().map(|literal| format!("{}: {:?}", literal.line, literal.text));
        let found = found.collect::<Vec<_>>();
        assert!(found.is_empty(), "src/web/{file}: {found:?} belong into src/web/pages/texts");
    }
    for (file, start) in ELSEWHERE {
        let (_, source) = sources.iter().find(|(name, _)| name == file).unwrap_or_else(|| panic!("{file} is gone"));
        let used = literals(source).iter().any(|literal| literal.text.starts_with(start));
        assert!(used, "{file}: {start:?} is gone");
    }
}

#[test]
fn wording_that_is_planted_is_found() {
    for planted in [
        r#"form.wrong(None, "Please try again")"#,
        r#"let title = "Welcome";"#,
        r#"html.push_str(r"<p>Something went wrong</p>")"#,
        "x(r#\"Nobody is \"here\"\"#)",
        r#"match c { '"' => "You may not do this", _ => "" }"#,
        "f(\"Two lines \\\n    of text\")",
    ] {
        let found = wording("browser/login.rs", planted);
        assert_eq!(found.len(), 1, "{planted}: {found:?}");
    }
    for quiet in [
        r#"request.query.get("return_to")"#,
        r#"site.path("login?r=x")"#,
        r#"// "Please try again""#,
        r#"tracing::info!(why = "x", "a form from elsewhere is refused"); f("x")"#,
        r#"#[expect(clippy::x, reason = "a test loads them")] let x = "y";"#,
        r#"x.expect("the built-in pages")"#,
        r#"fn f<'a>(x: &'a str) -> &'a str { "form" }"#,
    ] {
        assert!(wording("browser/login.rs", quiet).is_empty(), "{quiet}");
    }
}

/// What of a template is wording: text between tags, attributes that are read out, and literals in its expressions.
fn wording_of_template(template: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), template);
    let mut markup = String::new();
    while let Some((before, after)) = rest.split_once('{') {
        markup += before;
        let end = match after.chars().next() {
            Some('{') => "}}",
            Some('%') => "%}",
            Some('#') => "#}",
            _ => panic!("a bare brace: {after}"),
        };
        let (inside, next) = after.split_once(end).unwrap();
        let literals = inside.split('\'').skip(1).step_by(2).filter(|_| end != "#}");
        found.extend(literals.filter(|text| is_wording(text)).map(str::to_owned));
        let shown = inside.trim_start_matches(['{', '-']).trim_start();
        found.extend(
            (end == "}}" && shown.starts_with(['\'', '"']) && !shown.starts_with("\"\\n\"")).then(|| shown.to_owned()),
        );
        rest = next;
    }
    markup += rest;
    let texts = markup.split('>').filter_map(|piece| piece.split('<').next());
    found.extend(texts.filter(|text| !text.contains("=\"") && is_wording(text)).map(str::to_owned));
    for spoken in ["aria-label=\"", "title=\"", "alt=\"", "placeholder=\"", "value=\""] {
        let values = markup.split(spoken).skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
        found.extend(values.filter(|value| is_wording(value)).map(str::to_owned));
    }
    for rest in markup.split(" data-").skip(1) {
        let (name, value) = rest.split_once("=\"").unwrap_or_default();
        let value = value.split('"').next().filter(|value| !name.contains('>') && is_wording(value));
        found.extend(value.map(str::to_owned));
    }
    found
}

#[test]
fn no_template_has_wording_of_its_own() {
    for path in fs::read_dir(web().join("pages/templates")).unwrap().map(|entry| entry.unwrap().path()) {
        let found = wording_of_template(&fs::read_to_string(&path).unwrap());
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
    for planted in [
        "<p>Sign in</p>",
        "<p>{{ t('sign-in') }} or else</p>",
        "<button aria-label=\"Close\">",
        "<input placeholder=\"Your name\">",
        "<img alt=\"The logo\">",
        "{{ 'hello' }}",
        "{% set text = 'Hello there' %}",
        "{{ ui.submit('x-submit', 'Send code') }}",
    ] {
        assert_eq!(wording_of_template(planted).len(), 1, "{planted}");
    }
}

#[test]
fn neither_the_script_nor_the_style_sheet_has_wording_of_its_own() {
    let asset = |name: &str| fs::read_to_string(web().join("pages/assets").join(name)).unwrap();
    let wording_of_script = |text: &str| {
        let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let literals = lines.flat_map(|line| line.split('"').skip(1).step_by(2).collect::<Vec<_>>());
        // A selector may have brackets, and no sentence has.
        let found = literals.filter(|text| is_wording(text) && !text.contains('[') && *text != "use strict");
        found.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(wording_of_script(&asset("script.js")), [""; 0]);
    assert_eq!(wording_of_script(&asset("passkeys.js")), [""; 0]);
    assert_eq!(wording_of_script("button.textContent = \"Show\";").len(), 1);
    let style = asset("style.css");
    for value in style.split(" content:").skip(1).filter_map(|rest| rest.split([';', '}']).next()) {
        assert!(!value.contains(char::is_alphabetic), "{value}");
    }
}
