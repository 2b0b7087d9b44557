use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn letter(kind: MailKind, language: &str) -> Letter {
    sample(kind, language.parse().unwrap())
}

#[test]
fn every_kind_has_words_in_both_parts() {
    let templates = Templates::load(None).unwrap();
    for kind in MailKind::ALL {
        let letter = letter(*kind, "en");
        let rendered = templates.render(&letter).unwrap();
        assert!(rendered.subject.contains("Example"), "{kind:?}: {}", rendered.subject);
        for (part, body) in [("text", &rendered.text), ("html", &rendered.html)] {
            assert!(
                body.contains("Example") && !body.contains("{{") && !body.contains("{%"),
                "{kind:?} {part}: {body}"
            );
        }
        assert!(!rendered.text.contains('<') && rendered.html.contains("</html>"));
        // A mail with a link carries a code too.
        assert_eq!(rendered.text.contains("https://"), rendered.text.contains("SAMPLE-CODE"), "{kind:?}");
        assert!(!format!("{rendered:?}{letter:?}").contains("SAMPLE-CODE"));
    }
}

#[test]
fn a41_values_are_text_in_html_and_one_line_in_a_subject() {
    let templates = Templates::load(None).unwrap();
    let mut letter = letter(MailKind::Invitation, "en");
    letter.params.insert("by".into(), "<script>alert(1)</script>\" & co".into());
    letter.params.insert("client".into(), "Shop\r\nBcc: v@y.org".into());
    let rendered = templates.render(&letter).unwrap();
    assert!(!rendered.html.contains("<script>") && rendered.html.contains("&lt;script&gt;"), "{}", rendered.html);
    assert!(!rendered.subject.contains(['\r', '\n']), "{:?}", rendered.subject);
}

#[test]
fn the_time_left_is_that_from_the_sending_on() {
    let templates = Templates::load(None).unwrap();
    let mut letter = letter(MailKind::VerifyEmail, "en");
    assert!(templates.render(&letter).unwrap().text.contains("expires in 30 minutes"));
    letter.now = letter.now.plus(Ttl::from_secs(29 * 60 + 30));
    assert!(templates.render(&letter).unwrap().text.contains("expires in 1 minute."));
}

#[test]
fn files_take_the_place_of_built_in_templates_by_kind_and_language() {
    let german = "Subject: Neues Gerät bei {{ client }}\n\nGerät: {{ device }}\n";
    let dir = folder(&[
        ("new_device.de.txt", german),
        ("new_device.de.html", "{% extends \"layout.html\" %}{% block body %}<p>Gerät: {{ device }}</p>{% endblock %}"),
        ("layout.html", "<html lang=x>{% block body %}{% endblock %}</html>"),
        ("account_exists.txt", "Subject: Mine\r\n\r\nMine too.\r\n"),
        (".hidden", "{{"),
    ]);
    let templates = Templates::load(Some(dir.path())).unwrap();
    for (language, subject) in [("de", "Neues"), ("de-AT", "Neues"), ("fr", "A new"), ("en", "A new")] {
        let rendered = templates.render(&letter(MailKind::NewDevice, language)).unwrap();
        assert!(rendered.subject.starts_with(subject), "{language}: {}", rendered.subject);
        assert!(rendered.html.starts_with("<html lang=x>"));
    }
    let mine = templates.render(&letter(MailKind::AccountExists, "en")).unwrap();
    assert_eq!((mine.subject.as_str(), mine.text.as_str()), ("Mine", "Mine too.\r\n"));
}

#[test]
fn everything_wrong_is_told_with_file_and_line() {
    let good = "Subject: x\n\n{{ link }} {{ code }}\n";
    let told = |files: &[(&str, &str)]| {
        let dir = folder(files);
        let problems = Templates::load(Some(dir.path())).unwrap_err();
        problems.join("\n").replace(dir.path().to_str().unwrap(), "DIR")
    };
    for (name, text, problem) in [
        ("verify_mail.txt", good, "DIR/verify_mail.txt: is not a template name"),
        ("verify_email.DE.txt", good, "DIR/verify_email.DE.txt: is not a template name"),
        ("layout.txt", good, "DIR/layout.txt: is not a template name"),
        ("verify_email.txt", "Subject: x\n\n{{ link }} {{ code }\n", "DIR/verify_email.txt:3: "),
        ("verify_email.txt", "Subject: x\n\n{{ link }}\n\n{{ cod }}\n", "DIR/verify_email.txt:5: undefined value"),
        ("verify_email.txt", "{{ link }} {{ code }}\n", "DIR/verify_email.txt:1: must begin with a line"),
        ("verify_email.txt", "Subject: x\n{{ link }} {{ code }}\n", "DIR/verify_email.txt:1: must begin with a line"),
        ("verify_email.txt", "Subject: x\n\n{{ link }}\n", "DIR/verify_email.txt: must show {{ code }}"),
        ("verify_email.html", "<p>{{ code }}</p>", "DIR/verify_email.html: must show {{ link }}"),
        ("verify_email.de.txt", good, "DIR/verify_email.de.txt: needs verify_email.de.html as well"),
        ("layout.html", "\n\n{{ nothing }}", "DIR/layout.html:3: undefined value"),
    ] {
        let problems = told(&[(name, text)]);
        assert!(problems.contains(problem), "{name}: {problems}");
    }
    let both = told(&[("x.txt", ""), ("password_reset.html", "{% if %}")]);
    assert!(both.contains("DIR/x.txt") && both.contains("DIR/password_reset.html:1"), "{both}");
    assert!(Templates::load(Some(Path::new("/nonexistent"))).unwrap_err()[0].starts_with("/nonexistent: "));
}
