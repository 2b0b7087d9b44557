//! Sample values for every page: they are rendered before the server starts, in tests and as previews.

mod account;

use self::account::{own_account, own_passkeys};
use super::{
    Accent, CodeSent, Dev, DevUser, ErrorKind, ErrorPage, Field, Forgotten, Form, GoOn, Hidden, Home, LanguageChoice,
    Look, Notice, Opened, OpenedKind, Register, ResetPassword, ShownOnce, SignIn, StartAgain, Step, StepKind,
    SwitchUser, Text, Tone, Try, Verify, VerifyKind, View,
};
use crate::time::Timestamp;

/// A page with sample values.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its name.
    pub name: &'static str,
    /// The site and the reader.
    pub look: Look<'static>,
    /// The page.
    pub view: View,
    /// The ids that it must have: scripts and tests of others rely on them.
    pub ids: &'static [&'static str],
    /// The hidden fields that it must send.
    pub sends: &'static [&'static str],
}

const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

impl Sample {
    /// The sample value of a hidden field.
    pub(super) fn value(name: &str) -> String {
        format!("sample-{name}")
    }

    /// All of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let parts: [fn() -> Vec<Self>; 6] = [signing_in, registering, forgetting, own_account, own_passkeys, others];
        parts.iter().flat_map(|part| part()).collect()
    }

    fn new(name: &'static str, view: View, ids: &'static [&'static str], sends: &'static [&'static str]) -> Self {
        let mut look = Look::plain("/auth", "Example Shop");
        look.accent = Some(Accent::new(0x1f, 0x4f, 0xa3));
        look.registration = true;
        look.flow = Some("sample-r");
        let return_to = Hidden::new("/auth/login?r=sample-r");
        look.choice = Some(LanguageChoice { csrf: Hidden::new(Self::value("csrf")), return_to });
        Self { name, look, view, ids, sends }
    }

    fn with_notice(mut self, tone: Tone, text: Text) -> Self {
        self.look = self.look.with_notice(Notice::new(tone, text));
        self
    }
}

fn form() -> Form {
    Form::new(Sample::value("csrf"))
}

fn sealed() -> Form {
    form().sealed(Sample::value("form"))
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn signing_in() -> Vec<Sample> {
    let view = |form, username: &str| {
        let shared_computer = !username.is_empty();
        View::SignIn(SignIn { form, username: text(username), shared_computer, passkey: None, passkey_sent: false })
    };
    let with_passkey = |form, passkey_sent| {
        let (username, passkey) = (text(""), Some(asked()));
        View::SignIn(SignIn { form, username, shared_computer: false, passkey, passkey_sent })
    };
    let with_button = &["username", "password", "shared_computer", "login-submit", "passkey-submit"];
    let no_passkey = sealed().wrong(None, Text::PasskeyRefused);
    let ids = &["username", "password", "shared_computer", "login-submit"];
    let sends = &["csrf", "form"];
    let wrong = sealed().wrong(None, Text::WrongCredentials);
    let empty = sealed().wrong(Field::Username, Text::Required).wrong(Field::Password, Text::Required);
    let step = |kind| {
        let (id, revision) = (text("01J00000000000000000000000"), Sample::value("revision"));
        View::Step(Step { form: form(), id, revision, name: text("ada"), kind })
    };
    let email = || text("ada@example.org");
    let steps: &[&str] = &["csrf", "revision"];
    let other = View::SwitchUser(SwitchUser {
        form: form(),
        name: text("ada"),
        continue_to: text("/basket"),
        return_to: Some(text("/auth/login?r=sample-r")),
    });
    vec![
        Sample::new("sign-in", view(sealed(), ""), ids, sends),
        Sample::new("sign-in-passkey", with_passkey(sealed(), false), with_button, sends),
        Sample::new("sign-in-passkey-refused", with_passkey(no_passkey, true), with_button, sends),
        Sample::new("sign-in-wrong", view(wrong, "ada"), ids, sends),
        Sample::new("sign-in-empty", view(empty, ""), ids, sends),
        Sample::new("sign-in-expired", view(sealed(), "ada"), ids, sends).with_notice(Tone::Info, Text::SignInExpired),
        Sample::new("switch-user", other, &["continue", "logout-confirm"], &["csrf"]),
        Sample::new(
            "step-mfa",
            step(StepKind::Mfa { app: true, recovery: true, passkey: None, elsewhere: Vec::new() }),
            &["code", "step-submit", "recovery_code", "recovery-submit"],
            steps,
        ),
        Sample::new(
            "step-mfa-passkey",
            step(StepKind::Mfa { app: true, recovery: true, passkey: Some(asked()), elsewhere: Vec::new() }),
            &["code", "step-submit", "recovery_code", "recovery-submit", "passkey-submit"],
            steps,
        ),
        Sample::new("step-mfa-elsewhere", step(mfa_elsewhere(true)), &["recovery_code", "recovery-submit"], steps),
        Sample::new("step-mfa-nothing", step(mfa_elsewhere(false)), &["home"], &[]),
        Sample::new("step-enrol", step(enrol(None)), &["code", "step-submit"], steps),
        Sample::new(
            "step-enrol-passkey",
            step(enrol(Some(asked()))),
            &["code", "step-submit", "passkey-submit"],
            steps,
        ),
        Sample::new("step-recovery-codes", step(recovery_codes()), &["step-submit"], steps),
        Sample::new(
            "step-password",
            step(StepKind::ChoosePassword { min_password: 8 }),
            &["new_password", "step-submit"],
            steps,
        ),
        Sample::new("step-address", step(StepKind::AskAddress { email: email() }), &["email", "step-submit"], steps),
        Sample::new(
            "step-code",
            step(StepKind::EnterCode { email: email() }),
            &["code", "step-submit", "step-resend"],
            steps,
        )
        .with_notice(Tone::Warning, Text::StepMoved),
    ]
}

/// What a passkey is asked.
fn asked() -> String {
    text(r#"{"challenge":"c2FtcGxl","rpId":"shop.example"}"#)
}

/// A second factor of somebody whose passkeys are of other hosts.
fn mfa_elsewhere(recovery: bool) -> StepKind {
    StepKind::Mfa { app: false, recovery, passkey: None, elsewhere: vec![text("id.example"), text("other.example")] }
}

fn enrol(passkey: Option<String>) -> StepKind {
    let (secret, uri, picture) = app();
    let passkey_host = passkey.is_some().then(|| text("shop.example"));
    StepKind::Enrol { secret, uri, picture, passkey, passkey_host }
}

/// What an app is set up with: the secret, the URI, and an image as good as a picture of it.
fn app() -> (ShownOnce, ShownOnce, ShownOnce) {
    let uri = "otpauth://totp/Example%20Shop:ada?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Example%20Shop";
    let picture = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4=";
    (ShownOnce::new("JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP"), ShownOnce::new(uri), ShownOnce::new(picture))
}

fn recovery_codes() -> StepKind {
    StepKind::RecoveryCodes { codes: codes() }
}

fn codes() -> Vec<ShownOnce> {
    let codes = ["4F7QK-2M9XA-B3TZN-8WCDE-H6RJV", "9XA2M-4F7QK-8WCDE-B3TZN-V6RJH"];
    codes.into_iter().map(ShownOnce::new).collect()
}

fn registering() -> Vec<Sample> {
    let register = |form, email: &str| View::Register(Register { form, email: text(email), username: text("") });
    let ids = &["email", "username", "password", "register-submit"];
    let wrong =
        sealed().wrong(Field::Email, Text::EmailInvalid).wrong(Field::Password, Text::PasswordTooShort { min: 15 });
    let verify = |kind, email| {
        let token = Hidden::new(Sample::value("token"));
        View::Verify(Verify { form: form(), kind, token, link_kind: Sample::value("kind"), email, username: text("") })
    };
    let opened = |kind| View::Opened(Opened { kind, signed_in: text("ada"), continue_to: text("/basket") });
    let email = || Some(text("ada@example.org"));
    let sends: &[&str] = &["csrf", "token", "kind"];
    let sent = View::RegisterSent(CodeSent { form: sealed(), to: text("ada@example.org") });
    vec![
        Sample::new("register", register(sealed(), ""), ids, &["csrf", "form"]),
        Sample::new("register-wrong", register(wrong, "ada"), ids, &["csrf", "form"]),
        Sample::new("register-sent", sent, &["code", "verify-submit"], &["csrf", "form"]),
        Sample::new("verify", verify(VerifyKind::Register, email()), &["verify-submit"], sends),
        Sample::new(
            "verify-elsewhere",
            verify(VerifyKind::RegisterElsewhere, None),
            &["username", "new_password", "verify-submit"],
            sends,
        ),
        Sample::new("verify-email", verify(VerifyKind::Email, email()), &["verify-submit"], sends),
        Sample::new("verify-email-elsewhere", verify(VerifyKind::EmailElsewhere, None), &["sign-in"], &[]),
        Sample::new("verify-email-another", verify(VerifyKind::EmailOfAnother, None), &["sign-out"], &[]),
        Sample::new("opened-without-name", opened(OpenedKind::WithoutName), &["continue", "account"], &[]),
        Sample::new("opened-another", opened(OpenedKind::Another), &["continue", "sign-out"], &[]),
        Sample::new(
            "opened-another-without-name",
            opened(OpenedKind::AnotherWithoutName),
            &["continue", "sign-out"],
            &[],
        ),
    ]
}

fn forgetting() -> Vec<Sample> {
    let forgotten = View::Forgotten(Forgotten { form: sealed(), username: text("ada") });
    let reset = |form| View::ResetPassword(ResetPassword { form, token: Hidden::new(Sample::value("token")) });
    let sent = View::ForgottenSent(CodeSent { form: sealed(), to: text("ada") });
    let ids = &["new_password", "reset-submit"];
    let common = form().wrong(Field::NewPassword, Text::PasswordCommon);
    vec![
        Sample::new("forgotten", forgotten, &["username", "forgot-submit"], &["csrf", "form"]),
        Sample::new("forgotten-sent", sent, &["code", "new_password", "reset-submit"], &["csrf", "form"]),
        Sample::new("reset", reset(form()), ids, &["csrf", "token"]),
        Sample::new("reset-wrong", reset(common), ids, &["csrf", "token"]),
    ]
}

fn others() -> Vec<Sample> {
    let error = |kind, parameter: Option<&str>, detail, retry: Option<&str>| {
        let (parameter, retry) = (parameter.map(text), retry.map(text));
        View::Error(ErrorPage { kind, parameter, detail, request_id: text("req_01J000000000000000000000000"), retry })
    };
    let again = |to: Option<&str>| View::StartAgain(StartAgain { continue_to: to.map(text) });
    let link = error(ErrorKind::Link, Some("token"), Some(Text::LinkInvalid), Some("/auth/forgot"));
    let too_many = Some(Text::TooManyAttempts { minutes: 5 });
    let home =
        |name: Option<&str>| View::Home(Home { name: name.map(text), dev: Some(text("http://localhost:8081/dev")) });
    vec![
        Sample::new("cookies-blocked", View::CookiesBlocked, &["continue"], &[]),
        Sample::new("start-again", again(Some("/auth/login?r=sample-r")), &["continue"], &[]),
        Sample::new("start-again-from-home", again(None), &["continue"], &[]),
        Sample::new("go-on", View::GoOn(GoOn { continue_to: text("/basket") }), &["continue"], &[]),
        Sample::new("error-invalid", error(ErrorKind::Invalid, Some("return_to"), None, None), &["request-id"], &[]),
        Sample::new("error-link", link, &["request-id"], &[]),
        Sample::new("error-too-many", error(ErrorKind::TooMany, None, too_many, None), &["request-id"], &[]),
        Sample::new(
            "error-unavailable",
            error(ErrorKind::Unavailable, None, None, Some("/auth/login")),
            &["request-id"],
            &[],
        ),
        Sample::new("home", home(None), &["sign-in"], &[]),
        Sample::new("home-signed-in", home(Some("ada")), &["account"], &[]),
        Sample::new("dev", dev(), &[], &[]),
    ]
}

fn dev() -> View {
    let one = |about, target: &str| Try { about, target: text(target) };
    let site = "http://localhost:8000";
    View::Dev(Dev {
        user: Some(DevUser { username: text("ada"), password: text("sample password of ada") }),
        links: vec![
            one(Text::TrySignIn, &format!("{site}/auth/login")),
            one(Text::TryRegister, &format!("{site}/auth/register")),
            one(Text::TryAccount, &format!("{site}/auth/account")),
            one(Text::TryMail, "http://127.0.0.1:8081/dev/mail"),
            one(Text::TryApi, "http://127.0.0.1:8081/dev/api"),
        ],
        commands: vec![
            one(Text::TryServices, "grpcurl -plaintext 127.0.0.1:8080 list"),
            one(Text::TryKeys, "curl http://127.0.0.1:8081/.well-known/jwks.json"),
        ],
    })
}
