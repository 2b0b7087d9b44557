use super::*;

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let variables = pairs.iter().map(|(name, value)| (format!("CHANCERY_{name}"), (*value).to_owned()));
    Settings::from_variables(variables).unwrap()
}

fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    let mut problems = Vec::new();
    Plan::read(&settings(pairs), false, &mut problems);
    problems
}

const SMTP: (&str, &str) = ("MAIL_SMTP", "smtps://mail.example.org");
const FROM: (&str, &str) = ("MAIL_FROM", "Example <no-reply@example.org>");
const USER: (&str, &str) = ("MAIL_USERNAME", "chancery");
const PASSWORD: (&str, &str) = ("MAIL_PASSWORD", "canary of the password");

#[test]
fn mail_is_sent_kept_for_a_demo_or_waits() {
    let read = |pairs: &[(&str, &str)], dev| {
        let mut problems = Vec::new();
        let plan = Plan::read(&settings(pairs), dev, &mut problems);
        assert_eq!(problems, [""; 0]);
        (plan.post.is_some(), plan.kept.is_some())
    };
    assert_eq!(read(&[], false), (false, false));
    assert_eq!(read(&[], true), (true, true));
    for dev in [false, true] {
        assert_eq!(read(&[SMTP, FROM], dev), (true, false));
        assert_eq!(read(&[SMTP, FROM, USER, PASSWORD], dev), (true, false));
    }
}

#[test]
fn every_problem_of_mail_is_told_at_once() {
    let nowhere = ("MAIL_TEMPLATES", "/nonexistent/t");
    let all = problems(&[
        ("MAIL_SMTP", "http://x"),
        ("MAIL_FROM", "nobody"),
        USER,
        ("MAIL_CA_FILE", "/nonexistent/c"),
        nowhere,
    ]);
    let keys: Vec<_> = all.iter().map(|p| p.split(':').next().unwrap()).collect();
    assert_eq!(keys, ["mail_smtp", "mail_from", "mail_username", "mail_ca_file", "mail_templates"], "{all:?}");
    for (pairs, problem) in [
        (&[SMTP][..], "mail_from: is required"),
        (&[FROM], "mail_from: has no effect"),
        (&[USER], "mail_username: has no effect"),
        (&[SMTP, FROM, PASSWORD], "mail_username: is required"),
        (&[SMTP, FROM, USER, PASSWORD, ("MAIL_PASSWORD_FILE", "/nonexistent/p")], "mail_password_file: conflicts with"),
        (&[SMTP, FROM, USER, ("MAIL_PASSWORD_FILE", "/nonexistent/p")], "mail_password_file: /nonexistent/p: "),
        (&[("MAIL_SMTP", "smtp+plain://127.0.0.1"), FROM, USER, PASSWORD], "mail_username: needs TLS"),
        (&[("MAIL_SMTP", "smtp+plain://10.0.0.1"), FROM], "mail_smtp: smtp+plain:// is for loopback only"),
        (&[SMTP, FROM, USER, ("MAIL_PASSWORD", "a\u{0}b")], "mail_username: user name and password must"),
    ] {
        let told = problems(pairs);
        assert!(told.len() == 1 && told[0].starts_with(problem), "{told:?}");
    }
}

#[test]
fn the_password_is_in_no_output_and_its_file_may_end_with_a_newline() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    fs::write(&file, "canary of the password\r\n").unwrap();
    let settings = settings(&[SMTP, FROM, USER, ("MAIL_PASSWORD_FILE", file.to_str().unwrap())]);
    let (user, password) = credentials(&settings, None, &mut Vec::new()).unwrap();
    assert_eq!((user.as_str(), password.expose()), ("chancery", "canary of the password"));
    let plan = Plan::read(&self::settings(&[SMTP, FROM, USER, PASSWORD]), false, &mut Vec::new());
    let shown = serde_json::to_string(&plan.shown).unwrap();
    assert!(shown.contains("\"mail_password\":\"set\"") && shown.contains("smtps://mail.example.org"), "{shown}");
    assert!(!format!("{plan:?}{shown}").contains("canary"));
}

#[test]
fn a_file_without_certificates_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    fs::write(&file, "nothing\n").unwrap();
    let told = problems(&[SMTP, FROM, ("MAIL_CA_FILE", file.to_str().unwrap())]);
    assert_eq!(told, ["mail_ca_file: contains no PEM certificates"]);
}
