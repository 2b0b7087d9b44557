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
    let german = "sign-in-title = Anmelden\npage-title = { $page } bei { $name }\n";
    let dir = folder(&[("de.ftl", german), ("en.ftl", "sign-in = Let me in\n")]);
    let pages = Pages::new(Some(dir.path())).unwrap();
    assert_eq!(pages.language(None, Some("fr, de-CH;q=0.5")).as_str(), "de");
    assert_eq!(pages.language(Some("en"), Some("de")).as_str(), "en");
    let sign_in = sample("sign-in");
    let mut look = sign_in.look.clone();
    look.language = "de-at".parse().unwrap();
    let page = pages.render(&look, &sign_in.view);
    for text in
        ["<html lang=\"de\" dir=\"ltr\">", "<title>Anmelden bei Example Shop</title>", "<h1>Anmelden</h1>", "Let me in"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    look.language = "fr".parse().unwrap();
    assert!(pages.render(&look, &sign_in.view).contains("<html lang=\"en\" "));
}

#[test]
fn every_problem_is_reported_with_file_and_line() {
    for (name, text, problem) in [
        ("signin.html", "", "DIR/signin.html: is not a file of the pages; valid names are account.html, "),
        ("DE.ftl", "", "DIR/DE.ftl: is not a file of the pages"),
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
        ("de.ftl", "sign-in = x\nsing-in = y\n", "DIR/de.ftl:2: sing-in is not a message of the pages"),
        ("de.ftl", "# Titel\nsign-in-title\n", "DIR/de.ftl:2: "),
        ("de.ftl", "\nback-to = { $nam }\n", "DIR/de.ftl:2: back-to: "),
    ] {
        let problems = problems(&[(name, text)]);
        assert!(problems.contains(problem), "{name}: {problems}");
    }
    let both = problems(&[("x.html", ""), ("reset.html", "{% if %}"), ("de.ftl", "x = y")]);
    assert!(["DIR/x.html: ", "DIR/reset.html:1: ", "DIR/de.ftl:1: "].iter().all(|p| both.contains(p)), "{both}");
    assert!(Pages::new(Some(Path::new("/nonexistent"))).unwrap_err()[0].starts_with("/nonexistent: "));
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
