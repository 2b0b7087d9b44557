use std::fs;

use crate::app::config::tests::draft_from_variables;

fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    let mut problems = Vec::new();
    draft_from_variables(pairs).mail.check(false, &mut problems);
    problems
}

const SMTP: (&str, &str) = ("MAIL_SMTP", "smtps://mail.example.org");
const FROM: (&str, &str) = ("MAIL_FROM", "Example <no-reply@example.org>");
const USER: (&str, &str) = ("MAIL_USERNAME", "chancery");
const PASSWORD: (&str, &str) = ("MAIL_PASSWORD", "canary of the password");

#[test]
fn a_mail_server_is_optional() {
    let has_server = |pairs: &[(&str, &str)]| {
        let mut problems = Vec::new();
        let mail = draft_from_variables(pairs).mail.check(false, &mut problems).unwrap();
        assert_eq!(problems, [""; 0]);
        mail.server.is_some()
    };
    assert!(!has_server(&[]));
    // The password may be set for other processes.
    assert!(!has_server(&[PASSWORD]));
    assert!(has_server(&[SMTP, FROM]));
    assert!(has_server(&[SMTP, FROM, USER, PASSWORD]));
}

#[test]
fn all_mail_problems_are_reported_at_once() {
    let nowhere = ("MAIL_TEMPLATES", "/nonexistent/t");
    let all = problems(&[
        ("MAIL_SMTP", "http://x"),
        ("MAIL_FROM", "nobody"),
        USER,
        ("MAIL_CA_FILE", "/nonexistent/c"),
        nowhere,
    ]);
    let names: Vec<_> = all.iter().map(|p| p.split(':').next().unwrap()).collect();
    let want = ["MAIL_SMTP", "MAIL_FROM", "MAIL_USERNAME", "MAIL_CA_FILE", "MAIL_TEMPLATES"];
    assert_eq!(names, want.map(|name| format!("CHANCERY_{name}")), "{all:?}");
    let templates = tempfile::tempdir().unwrap();
    for (pairs, problem) in [
        (&[SMTP][..], "CHANCERY_MAIL_FROM: is required with CHANCERY_MAIL_SMTP"),
        (&[FROM], "CHANCERY_MAIL_FROM: has no effect without CHANCERY_MAIL_SMTP"),
        (&[USER], "CHANCERY_MAIL_USERNAME: has no effect"),
        (&[("MAIL_TEMPLATES", templates.path().to_str().unwrap())], "CHANCERY_MAIL_TEMPLATES: has no effect"),
        (&[SMTP, FROM, PASSWORD], "--mail-username (mail_username): is required"),
        (
            &[SMTP, FROM, USER, PASSWORD, ("MAIL_PASSWORD_FILE", "/nonexistent/p")],
            "CHANCERY_MAIL_PASSWORD_FILE: is set beside",
        ),
        (
            &[SMTP, FROM, USER, ("MAIL_PASSWORD_FILE", "/nonexistent/p")],
            "CHANCERY_MAIL_PASSWORD_FILE: /nonexistent/p: ",
        ),
        (
            &[("MAIL_SMTP", "smtp+plain://127.0.0.1"), FROM, USER, PASSWORD],
            "CHANCERY_MAIL_USERNAME: a password is sent over TLS only",
        ),
        (&[("MAIL_SMTP", "smtp+plain://10.0.0.1"), FROM], "CHANCERY_MAIL_SMTP: smtp+plain:// is for loopback only"),
        (&[SMTP, FROM, USER, ("MAIL_PASSWORD", "a\u{0}b")], "CHANCERY_MAIL_USERNAME: user name and password must"),
    ] {
        let reported = problems(pairs);
        assert!(reported.len() == 1 && reported[0].starts_with(problem), "{reported:?}");
    }
}

#[test]
fn the_password_file_may_end_with_a_newline() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    fs::write(&file, "canary of the password\r\n").unwrap();
    let draft = draft_from_variables(&[SMTP, FROM, USER, ("MAIL_PASSWORD_FILE", file.to_str().unwrap())]);
    let (user, password) = draft.mail.credentials(None, &mut Vec::new()).unwrap();
    assert_eq!((user.as_str(), password.expose()), ("chancery", "canary of the password"));
}

#[test]
fn a_file_without_certificates_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    fs::write(&file, "nothing\n").unwrap();
    let reported = problems(&[SMTP, FROM, ("MAIL_CA_FILE", file.to_str().unwrap())]);
    assert_eq!(reported, ["CHANCERY_MAIL_CA_FILE: contains no PEM certificates"]);
}

/// A mail server setting that cannot be read is reported once, and not also as missing.
#[test]
fn an_unreadable_setting_is_not_reported_as_missing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    fs::write(&file, "mail_smtp = 25\nmail_from = \"no-reply@example.org\"\n").unwrap();
    let mut draft = draft_from_variables(&[USER, PASSWORD]);
    draft.read_file(&file);
    assert_eq!(draft.problems.len(), 1, "{:?}", draft.problems);
    let mut more = Vec::new();
    draft.mail.check(false, &mut more);
    assert_eq!(more, [""; 0]);
}
