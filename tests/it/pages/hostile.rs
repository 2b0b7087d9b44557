//! whatever others can fill is shown as text.

use chancery::time::Timestamp;
use chancery::web::pages::{
    Account, Attribute, CodeSent, Dev, DevUser, ErrorKind, ErrorPage, Factor, FactorKind, Factors, Forgotten, Form,
    Hidden, Home, LoggingOut, Look, NewPasskey, NewTotp, Notice, Opened, OpenedKind, PendingEmail, RecoveryCodes,
    Register, ResetPassword, Session, ShownOnce, SignIn, SignedOut, StartAgain, Step, StepKind, SwitchUser, Text, Tone,
    Try, Verify, VerifyKind, View,
};

use super::{markup, pages};

const HOSTILE: [&str; 6] = [
    "\"><script>alert(1)</script>",
    "' onmouseover='alert(1)",
    "javascript:alert(1)//",
    "</title><img src=x onerror=alert(1)>",
    "a\r\nSet-Cookie: x=y\r\n\r\n<h1>",
    "{{ 7*7 }}{% raw %}&lt;\u{202e}\u{0}",
];

fn form(bad: &str) -> Form {
    let sent = Text::CodeSent { email: bad.to_owned() };
    Form::new(bad).sealed(bad).wrong(None, sent)
}

/// Every page, with the value wherever a value stands.
fn views(bad: &str) -> Vec<View> {
    let text = || bad.to_owned();
    let hidden = || Hidden::new(bad);
    let one = || Try { about: Text::CodeSent { email: text() }, target: text() };
    let kinds = VerifyKind::ALL.iter().map(|kind| {
        let (token, link_kind) = (hidden(), text());
        View::Verify(Verify { form: form(bad), kind: *kind, token, link_kind, email: Some(text()), username: text() })
    });
    let steps = [
        StepKind::ChoosePassword { min_password: 8 },
        StepKind::AskAddress { email: text() },
        StepKind::EnterCode { email: text() },
        StepKind::Mfa { app: false, recovery: true, passkey: None, elsewhere: vec![text()] },
        StepKind::Mfa { app: false, recovery: false, passkey: None, elsewhere: vec![text(), text()] },
    ];
    let steps =
        steps.map(|kind| View::Step(Step { form: form(bad), id: text(), revision: text(), name: text(), kind }));
    let errors = ErrorKind::ALL.iter().map(|kind| {
        let (parameter, detail) = (Some(text()), Some(Text::EmailConfirmed { email: text() }));
        View::Error(ErrorPage { kind: *kind, parameter, detail, request_id: text(), retry: Some(text()) })
    });
    let sent = || CodeSent { form: form(bad), to: text() };
    let rest = vec![
        View::SignIn(SignIn {
            form: form(bad),
            username: text(),
            shared_computer: true,
            passkey: Some(text()),
            passkey_sent: false,
        }),
        View::SwitchUser(SwitchUser { form: form(bad), name: text(), continue_to: text(), return_to: Some(text()) }),
        View::Register(Register { form: form(bad), email: text(), username: text() }),
        View::RegisterSent(sent()),
        View::Opened(Opened { kind: OpenedKind::Another, signed_in: text(), continue_to: text() }),
        View::Forgotten(Forgotten { form: form(bad), username: text() }),
        View::ForgottenSent(sent()),
        View::ResetPassword(ResetPassword { form: form(bad), token: hidden() }),
        View::Account(Box::new(account(bad))),
        View::RecoveryCodes(RecoveryCodes {
            codes: vec![ShownOnce::new(bad), ShownOnce::new(bad)],
            continue_to: text(),
        }),
        View::LoggingOut(LoggingOut { form: form(bad), name: text(), return_to: Some(text()) }),
        View::SignedOut(SignedOut { everywhere: false, return_to: Some(text()) }),
        View::CookiesBlocked,
        View::StartAgain(StartAgain { continue_to: Some(text()) }),
        View::Home(Home { name: Some(text()), dev: Some(text()) }),
        View::Dev(Dev {
            user: Some(DevUser { username: text(), password: text() }),
            links: vec![one()],
            commands: vec![one()],
        }),
    ];
    kinds.chain(steps).chain(errors).chain(rest).collect()
}

fn account(bad: &str) -> Account {
    let text = || bad.to_owned();
    let (hidden, once) = (|| Hidden::new(bad), || ShownOnce::new(bad));
    let at = Timestamp::from_millis(0);
    let session = Session {
        id: text(),
        label: text(),
        browser: text(),
        system: text(),
        application: text(),
        address: text(),
        signed_in_at: at,
        last_used_at: at,
        current: false,
    };
    let nameless = Session { label: String::new(), ..session.clone() };
    Account {
        acted: None,
        form: form(bad),
        name: text(),
        username: text(),
        username_editable: true,
        emails: vec![text()],
        email_typed: text(),
        pending_email: Some(PendingEmail { email: text(), form: Hidden::new(bad) }),
        has_password: true,
        min_password: 15,
        password_needed: true,
        factors: Factors {
            list: vec![
                Factor { id: text(), kind: FactorKind::Totp, name: text(), added_at: at, last_used_at: None },
                Factor {
                    id: text(),
                    kind: FactorKind::Passkey,
                    name: String::new(),
                    added_at: at,
                    last_used_at: Some(at),
                },
            ],
            recovery_codes: Some(1),
            codes_form: hidden(),
            password_needed: true,
            sign_in_again: None,
            name_typed: text(),
            totp: Some(NewTotp { form: hidden(), secret: once(), uri: once(), picture: once() }),
            passkeys: true,
            passkey_host: Some(text()),
            passkey: Some(NewPasskey { form: hidden(), options: text() }),
        },
        strict: false,
        attributes: vec![Attribute { name: text(), value: text() }],
        sessions: vec![session, nameless],
        more_sessions: true,
    }
}

#[test]
fn a24_hostile_values_are_shown_as_text_everywhere() {
    let pages = pages();
    for bad in HOSTILE {
        for view in views(bad) {
            let mut look = Look::plain("/auth", bad);
            look.logo_uri = Some(bad);
            look.home = bad;
            look.flow = Some(bad);
            look.registration = true;
            let notice = Notice::new(Tone::Warning, Text::CodeResent { email: bad.to_owned() });
            let page = pages.render(&look.with_notice(notice), &view);
            // Only our own elements and attributes come out, and nothing that runs.
            let root = markup::parse(&page).unwrap_or_else(|problem| panic!("{problem} in {view:?}\n{page}"));
            assert_eq!(root.all("h1").len(), 1, "{view:?}");
            let scripts = root.all("script");
            assert!(matches!(scripts.len(), 1 | 2), "{view:?}");
            assert!(scripts.iter().all(|script| script.text().is_empty()), "{view:?}");
            for element in root.everything() {
                for (name, value) in &element.attributes {
                    let address = matches!(name.as_str(), "href" | "src" | "action");
                    let good = value.starts_with('/') || value.starts_with('#') || value == "data:image/x-icon,";
                    assert!(!name.starts_with("on") && (!address || good), "{name}={value} in {view:?}");
                }
            }
            assert!(root.all("title")[0].text().contains(bad.split_whitespace().next().unwrap()), "{page}");
        }
    }
}

#[test]
fn no_debug_output_shows_what_a_page_sends_back() {
    let form = Form::new("chx_secret").sealed("chx_secret");
    let view = View::ResetPassword(ResetPassword { form, token: Hidden::new("chx_secret") });
    assert!(!format!("{view:?}").contains("chx_secret"), "{view:?}");
    let view =
        View::RecoveryCodes(RecoveryCodes { codes: vec![ShownOnce::new("chx_secret")], continue_to: "/".to_owned() });
    assert!(!format!("{view:?}").contains("chx_secret"), "{view:?}");
    let user = DevUser { username: "ada".to_owned(), password: "chx_secret".to_owned() };
    assert!(!format!("{user:?}").contains("chx_secret"));
}
