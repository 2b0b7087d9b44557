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
fn every_kind_has_templates_for_both_parts() {
    let templates = Templates::load(None).unwrap();
    for (kind, language) in MailKind::ALL.iter().flat_map(|kind| ["en", "de"].map(|language| (kind, language))) {
        let letter = letter(*kind, language);
        let rendered = templates.render(&letter).unwrap();
        assert!(rendered.subject.contains("Example"), "{kind:?}: {}", rendered.subject);
        for (part, body) in [("text", &rendered.text), ("html", &rendered.html)] {
            assert!(
                body.contains("Example") && !body.contains("{{") && !body.contains("{%"),
                "{kind:?} {part}: {body}"
            );
        }
        assert!(!rendered.text.contains('<') && rendered.html.contains("</html>"));
        // A mail with a link shows a code as well.
        assert_eq!(rendered.text.contains("sample-link"), rendered.text.contains("SAMPLE-CODE"), "{kind:?}");
        assert!(!format!("{rendered:?}{letter:?}").contains("SAMPLE-CODE"));
    }
}

#[test]
fn where_few_recovery_codes_are_left_the_mail_leads_to_new_ones() {
    let templates = Templates::load(None).unwrap();
    for (language, few, many) in [
        ("en", "make new ones at", "need not do anything"),
        ("de", "machen Sie rechtzeitig neue", "brauchen Sie nichts"),
    ] {
        let page = "https://shop.example/auth/account";
        for (left, account, says, leads) in
            [(0, Some(page), few, true), (2, Some(page), few, true), (2, None, "", false), (3, Some(page), many, false)]
        {
            let at = Timestamp::from_millis(1_893_456_000_000);
            let mut letter = letter(MailKind::RecoveryCodeUsed, language);
            letter.params = Content::RecoveryCodeUsed { at, left, account: account.map(str::to_owned) }.params("Shop");
            let rendered = templates.render(&letter).unwrap();
            for body in [rendered.text, rendered.html.replace("&#x2f;", "/")] {
                assert!(body.contains(says) && body.contains(page) == leads, "{language} {left}: {body}");
            }
        }
    }
}

#[test]
fn a41_values_are_escaped_in_html_and_stay_on_one_line_in_subjects() {
    let templates = Templates::load(None).unwrap();
    let mut letter = letter(MailKind::Invitation, "en");
    letter.params.insert("by".into(), "<script>alert(1)</script>\" & co".into());
    letter.params.insert("client".into(), "Shop\r\nBcc: v@y.org".into());
    let rendered = templates.render(&letter).unwrap();
    assert!(!rendered.html.contains("<script>") && rendered.html.contains("&lt;script&gt;"), "{}", rendered.html);
    assert!(!rendered.subject.contains(['\r', '\n']), "{:?}", rendered.subject);
}

#[test]
fn the_time_left_is_counted_from_when_the_mail_is_sent() {
    let templates = Templates::load(None).unwrap();
    let mut letter = letter(MailKind::VerifyEmail, "en");
    assert!(templates.render(&letter).unwrap().text.contains("expires in 30 minutes"));
    letter.now = letter.now.plus(Ttl::from_secs(29 * 60 + 30));
    assert!(templates.render(&letter).unwrap().text.contains("expires in 1 minute."));
}

#[test]
fn files_replace_built_in_templates_by_kind_and_language() {
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
fn every_problem_is_reported_with_file_and_line() {
    let good = "Subject: x\n\n{{ link }} {{ code }}\n";
    let problems_in = |files: &[(&str, &str)]| {
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
        ("verify_email.fr.txt", good, "DIR/verify_email.fr.txt: needs verify_email.fr.html as well"),
        ("date.html", "", "DIR/date.html: is not a template name"),
        ("date.txt", "{{ hour }}", "DIR/date.txt:1: undefined value"),
        ("layout.html", "\n\n{{ nothing }}", "DIR/layout.html:3: undefined value"),
    ] {
        let problems = problems_in(&[(name, text)]);
        assert!(problems.contains(problem), "{name}: {problems}");
    }
    let both = problems_in(&[("x.txt", ""), ("password_reset.html", "{% if %}")]);
    assert!(both.contains("DIR/x.txt") && both.contains("DIR/password_reset.html:1"), "{both}");
    assert!(Templates::load(Some(Path::new("/nonexistent"))).unwrap_err()[0].starts_with("/nonexistent: "));
}

/// The built-in languages besides English, by the names of the templates.
fn languages() -> BTreeSet<&'static str> {
    BUILT_IN.iter().filter_map(|(name, _)| name.rsplit_once('.')?.0.split_once('.')).map(|(_, tag)| tag).collect()
}

/// The names of the values that a template shows.
fn shown(template: &str) -> BTreeSet<&str> {
    let tags = template.split("{{ ").skip(1).map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_'));
    tags.filter_map(|mut words| words.next()).collect()
}

#[test]
fn each_built_in_language_has_every_mail_with_the_same_values() {
    let built_in: BTreeMap<&str, &str> = BUILT_IN.iter().copied().collect();
    assert_eq!(languages(), BTreeSet::from(["de"]));
    for tag in languages() {
        assert!(built_in.contains_key(format!("date.{tag}.txt").as_str()), "{tag}");
        for (kind, part) in MailKind::ALL.iter().flat_map(|kind| ["txt", "html"].map(|part| (kind.as_str(), part))) {
            let english = built_in[format!("{kind}.{part}").as_str()];
            let name = format!("{kind}.{tag}.{part}");
            let own = built_in.get(name.as_str()).unwrap_or_else(|| panic!("there is no {name}"));
            let body = own.split("{% block foot %}").next().unwrap();
            assert_eq!(shown(body), shown(english), "{name}");
            assert_eq!(own.contains("{% block foot %}"), part == "html", "{name}");
        }
    }
}

#[test]
fn a_german_reader_gets_all_of_a_mail_in_german() {
    let templates = Templates::load(None).unwrap();
    let rendered = templates.render(&letter(MailKind::Invitation, "de-AT")).unwrap();
    assert_eq!(rendered.subject, "Grace lädt Sie zu Example ein");
    assert!(rendered.text.contains("läuft am 1. Januar 2030, 00:30 Uhr (UTC) ab"), "{}", rendered.text);
    for text in ["<html lang=\"de\" dir=\"ltr\">", "läuft am 1. Januar 2030", "Antworten werden nicht gelesen."] {
        assert!(rendered.html.contains(text), "{text}: {}", rendered.html);
    }
    let rendered = templates.render(&letter(MailKind::PasswordReset, "de")).unwrap();
    assert!(rendered.text.contains("am 1. Januar 2030, 00:00 Uhr (UTC) über Example, von 192.0.2.7, Firefox (Linux)"));
    let english = templates.render(&letter(MailKind::Invitation, "fr")).unwrap();
    assert!(english.text.contains("expires on 1 January 2030, 00:30 UTC"), "{}", english.text);
    assert!(english.html.contains("<html lang=\"en\" dir=\"ltr\">"));
}

#[test]
fn a_language_without_a_form_for_dates_has_them_in_one_that_all_can_read() {
    let (text, html) = ("Subject: x\n\n{{ at }} {{ direction }}\n", "{% extends \"layout.html\" %}");
    let files = [("password_changed.ar.txt", text), ("password_changed.ar.html", html)];
    let dir = folder(&files);
    let rendered = Templates::load(Some(dir.path())).unwrap().render(&letter(MailKind::PasswordChanged, "ar")).unwrap();
    assert_eq!(rendered.text, "2030-01-01 00:00 UTC rtl\n");
    assert!(rendered.html.contains("<html lang=\"ar\" dir=\"rtl\">"), "{}", rendered.html);
    let dir = folder(&[files[0], files[1], ("date.ar.txt", "{{ day }}/{{ month }}/{{ year }}\n")]);
    let rendered = Templates::load(Some(dir.path())).unwrap().render(&letter(MailKind::PasswordChanged, "ar")).unwrap();
    assert_eq!(rendered.text, "1/1/2030 rtl\n");
}

#[test]
fn a_file_without_a_language_is_for_readers_of_every_language() {
    let mine = ("account_exists.txt", "Subject: Mine\n\nMine.\n");
    let subject = |files: &[(&str, &str)], kind| {
        Templates::load(Some(folder(files).path())).unwrap().render(&letter(kind, "de")).unwrap().subject
    };
    assert_eq!(subject(&[mine], MailKind::AccountExists), "Mine");
    assert!(subject(&[mine], MailKind::NewDevice).starts_with("Ein neues Gerät"));
    let german = ("account_exists.de.txt", "Subject: Meine\n\nMeine.\n");
    assert_eq!(subject(&[mine, german], MailKind::AccountExists), "Meine");
}
