//! Templates, texts and assets of the operator.

use std::{fs, path::Path};

use chancery::web::pages::{Pages, Sample};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// The problems with a folder of these files.
fn problems(files: &[(&str, &str)]) -> String {
    let dir = folder(files);
    let problems = Pages::new(Some(dir.path())).unwrap_err();
    problems.join("\n").replace(dir.path().to_str().unwrap(), "DIR")
}

fn sample(name: &str) -> Sample {
    Sample::all().into_iter().find(|sample| sample.name == name).unwrap()
}

const ERROR: &str = "{% extends 'layout.html' %}{% block body %}<h1>Mine</h1><p id=\"request-id\"></p>{% endblock %}";

#[test]
fn files_replace_what_is_built_in() {
    let dir = folder(&[("error.html", ERROR), ("style.css", "h1{color:red}"), (".hidden", "x")]);
    let pages = Pages::new(Some(dir.path())).unwrap();
    let error = sample("error-invalid");
    let page = pages.render(&error.look, &error.view).replace("&#x2f;", "/");
    assert!(page.contains("<h1>Mine</h1>"), "{page}");
    let style = page.split("/auth/assets/style-").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(pages.asset(&format!("style-{style}")).unwrap().content, "h1{color:red}");
}

#[test]
fn another_language_is_a_file_and_what_it_lacks_is_in_english() {
    let french = "sign-in-title = Se connecter\npage-title = { $page } chez { $name }\nlanguage-name = français\n";
    let texts = folder(&[("fr.ftl", french), ("en.ftl", "sign-in = Let me in\n"), ("de-at.ftl", "sign-in = Rein\n")]);
    let pages = Pages::with_texts(None, Some(texts.path())).unwrap();
    let chosen = |tag: &str| std::iter::once(tag.parse().unwrap());
    assert_eq!(pages.language(std::iter::empty(), Some("es, fr-CH;q=0.5")).as_str(), "fr");
    assert_eq!(pages.language(chosen("en"), Some("fr")).as_str(), "en");
    let sign_in = sample("sign-in");
    let rendered = |tag: &str| {
        let mut look = sign_in.look.clone();
        look.language = tag.parse().unwrap();
        pages.render(&look, &sign_in.view)
    };
    let page = rendered("fr-ca");
    for text in [
        "<html lang=\"fr\" dir=\"ltr\">",
        "<title>Se connecter chez Example Shop</title>",
        "<h1>Se connecter</h1>",
        "Let me in",
        "id=\"language-fr\"",
        ">français<",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(rendered("es").contains("<html lang=\"en\" "));
    let austrian = rendered("de-at");
    assert!(austrian.contains("Rein") && austrian.contains("Passwort vergessen?"), "{austrian}");
    let untranslated = pages.untranslated();
    assert_eq!(untranslated.len(), 1, "{untranslated:?}");
    let said = &untranslated[0];
    assert!(said.starts_with("the language fr lacks ") && said.ends_with(", …"), "{said}");
    assert!(
        said.contains(" messages, which are in English: account-again, account-lead, ") && said.len() < 600,
        "{said}"
    );
    assert!(Pages::new(None).unwrap().untranslated().is_empty());
}

#[test]
fn every_problem_is_reported_with_file_and_line() {
    for (name, text, problem) in [
        ("signin.html", "", "DIR/signin.html: is not a file of the pages; valid names are account.html, "),
        ("de.ftl", "", "DIR/de.ftl: is texts, and belongs into the directory of page texts"),
        ("error.html", "a\n{{ page.kind }\n", "DIR/error.html:2: syntax error"),
        ("error.html", "a\n\n{{ page.kin }}\n", "DIR/error.html:3: undefined value"),
        (
            "error.html",
            "a\n{{ t('no-such') }}",
            "DIR/error.html:2: invalid operation: no-such: there is no such message",
        ),
        ("error.html", "{{ t('back-to') }}", "DIR/error.html:1: invalid operation: back-to: "),
        ("error.html", "<p></p>", "DIR/error.html: must have an element with id=\"request-id\""),
        ("reset.html", "", "DIR/reset.html: must send the hidden field name=\"csrf\" with its value"),
        ("reset.html", "", "DIR/reset.html: must send the hidden field name=\"token\" with its value"),
        (
            "dev.html",
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "DIR/dev.html:1: ",
        ),
    ] {
        let problems = problems(&[(name, text)]);
        assert!(problems.contains(problem), "{name}: {problems}");
    }
    let both = problems(&[("x.html", ""), ("reset.html", "{% if %}")]);
    assert!(["DIR/x.html: ", "DIR/reset.html:1: "].iter().all(|p| both.contains(p)), "{both}");
    assert!(Pages::new(Some(Path::new("/nonexistent"))).unwrap_err()[0].starts_with("/nonexistent: "));
}

#[test]
fn every_problem_of_texts_is_reported_with_file_and_line() {
    for (name, text, problem) in [
        ("error.html", "", "DIR/error.html: is not a file of texts; valid names are LANGUAGE.ftl such as "),
        ("DE.ftl", "", "DIR/DE.ftl: is not a file of texts"),
        ("de_at.ftl", "", "DIR/de_at.ftl: is not a file of texts"),
        ("fr.ftl", "sign-in = x\nsing-in = y\n", "DIR/fr.ftl:2: sing-in is not a message of the pages"),
        ("fr.ftl", "# Titre\nsign-in-title\n", "DIR/fr.ftl:2: "),
        ("de.ftl", "\nback-to = { $nam }\n", "DIR/de.ftl:2: back-to: "),
        ("de.ftl", "sign-in = x\n\nno-such-message = y\n", "DIR/de.ftl:3: no-such-message is not a message"),
    ] {
        let dir = folder(&[(name, text)]);
        let problems = Pages::with_texts(None, Some(dir.path())).unwrap_err().join("\n");
        assert!(problems.replace(dir.path().to_str().unwrap(), "DIR").contains(problem), "{name}: {problems}");
    }
    assert!(Pages::with_texts(None, Some(Path::new("/nonexistent"))).unwrap_err()[0].starts_with("/nonexistent: "));
}

#[test]
fn where_a_template_fails_later_the_built_in_one_is_shown() {
    // Fine with the samples, and not with this reader.
    let text = format!("{{{{ 1 / (look.prefix | length - 6) }}}}{ERROR}");
    let dir = folder(&[("error.html", &text)]);
    let pages = Pages::new(Some(dir.path())).unwrap();
    let error = sample("error-invalid");
    let mut look = error.look.clone();
    look.prefix = "/login";
    let page = pages.render(&look, &error.view);
    assert!(page.contains("That did not work") && page.contains("return_to"), "{page}");
}
