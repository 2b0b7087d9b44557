//! What each page shows. Every submit button has an id that ends in `-submit` or says what it does; every field is
//! named like its id.

use std::fmt;

use serde::Serialize;

use super::{Account, ErrorPage, Form, Hidden, RecoveryCodes, ShownOnce, Text, names::names};

/// A page and its values.
#[derive(Clone, Debug)]
pub enum View {
    /// `login`: `username password shared_computer login-submit`.
    SignIn(SignIn),
    /// Somebody else is signed in here: `continue logout-confirm`.
    SwitchUser(SwitchUser),
    /// `register`: `email username password register-submit`.
    Register(Register),
    /// `register`, once the mail is on its way: `code verify-submit`. It posts to `verify`.
    RegisterSent(CodeSent),
    /// `verify`, behind the link of a mail: `verify-submit`, and `new_password username` where [`VerifyKind`] says so.
    Verify(Verify),
    /// `verify`, once an account is open about which there is something to say.
    Opened(Opened),
    /// `forgot`: `username forgot-submit`.
    Forgotten(Forgotten),
    /// `forgot`, once the mail is on its way: `code new_password reset-submit`. It posts to `reset`.
    ForgottenSent(CodeSent),
    /// `reset`, behind the link of a mail: `new_password reset-submit`.
    ResetPassword(ResetPassword),
    /// `step/{id}`: `step-submit`, with `new_password`, `email` or `code`, and `step-resend` or `recovery_code` and
    /// `recovery-submit`.
    Step(Step),
    /// `account`.
    Account(Box<Account>),
    /// Recovery codes, which are shown once: `recovery-codes continue`.
    RecoveryCodes(RecoveryCodes),
    /// `logout`, before it is done: `logout-confirm`.
    LoggingOut(LoggingOut),
    /// "Signed out".
    SignedOut(SignedOut),
    /// Cookies do not come back.
    CookiesBlocked,
    /// Too late: it begins again.
    StartAgain(StartAgain),
    /// A stop on the way to the application, so that a cookie is kept.
    GoOn(GoOn),
    /// Something went wrong.
    Error(ErrorPage),
    /// `GET /` of the issuer.
    Home(Home),
    /// What to try with `--dev`.
    Dev(Dev),
}

impl View {
    /// The template.
    pub(super) const fn template(&self) -> &'static str {
        match self {
            Self::SignIn(_) => "sign_in.html",
            Self::SwitchUser(_) => "switch_user.html",
            Self::Register(_) => "register.html",
            Self::RegisterSent(_) => "register_sent.html",
            Self::Verify(_) => "verify.html",
            Self::Opened(_) => "opened.html",
            Self::Forgotten(_) => "forgotten.html",
            Self::ForgottenSent(_) => "forgotten_sent.html",
            Self::ResetPassword(_) => "reset.html",
            Self::Step(_) => "step.html",
            Self::Account(_) => "account.html",
            Self::RecoveryCodes(_) => "recovery_codes.html",
            Self::LoggingOut(_) => "logout.html",
            Self::SignedOut(_) => "signed_out.html",
            Self::CookiesBlocked => "cookies_blocked.html",
            Self::StartAgain(_) => "start_again.html",
            Self::GoOn(_) => "go_on.html",
            Self::Error(_) => "error.html",
            Self::Home(_) => "home.html",
            Self::Dev(_) => "dev.html",
        }
    }

    /// What the template knows as `page`.
    pub(super) fn values(&self) -> minijinja::Value {
        use minijinja::{Value, value::Serde};
        match self {
            Self::SignIn(page) => Value::from(Serde(page)),
            Self::SwitchUser(page) => Value::from(Serde(page)),
            Self::Register(page) => Value::from(Serde(page)),
            Self::Verify(page) => Value::from(Serde(page)),
            Self::Opened(page) => Value::from(Serde(page)),
            Self::StartAgain(page) => Value::from(Serde(page)),
            Self::Forgotten(page) => Value::from(Serde(page)),
            Self::RegisterSent(page) | Self::ForgottenSent(page) => Value::from(Serde(page)),
            Self::ResetPassword(page) => Value::from(Serde(page)),
            Self::Step(page) => Value::from(Serde(page)),
            Self::Account(page) => Value::from(Serde(page)),
            Self::RecoveryCodes(page) => Value::from(Serde(page)),
            Self::LoggingOut(page) => Value::from(Serde(page)),
            Self::SignedOut(page) => Value::from(Serde(page)),
            Self::GoOn(page) => Value::from(Serde(page)),
            Self::Error(page) => Value::from(Serde(page)),
            Self::Home(page) => Value::from(Serde(page)),
            Self::Dev(page) => Value::from(Serde(page)),
            Self::CookiesBlocked => Value::from(std::collections::BTreeMap::<String, Value>::new()),
        }
    }
}

/// A stop on the way to the application.
#[derive(Clone, Debug, Serialize)]
pub struct GoOn {
    /// Where it goes on to.
    pub continue_to: String,
}

/// The sign-in page.
#[derive(Clone, Debug, Serialize)]
pub struct SignIn {
    /// The form.
    pub form: Form,
    /// What was typed as user name.
    pub username: String,
    /// Whether "this is a shared computer" was ticked.
    pub shared_computer: bool,
    /// What a passkey is asked, if one can be used here: `passkey-submit`, which sends `passkey_response`.
    pub passkey: Option<String>,
    /// Whether a passkey was sent and has not signed in: browsers fill in none by themselves then, or one that answers by
    /// itself would be sent for ever.
    pub passkey_sent: bool,
}

/// "Continue as … / sign out first".
#[derive(Clone, Debug, Serialize)]
pub struct SwitchUser {
    /// The form of the sign-out; it posts to `logout`.
    pub form: Form,
    /// Who is signed in.
    pub name: String,
    /// Where this user goes on to.
    pub continue_to: String,
    /// Where the sign-out leads; sent as `return_to`.
    pub return_to: Option<String>,
}

/// The registration page.
#[derive(Clone, Debug, Serialize)]
pub struct Register {
    /// The form.
    pub form: Form,
    /// What was typed as address.
    pub email: String,
    /// What was typed as user name.
    pub username: String,
}

/// A mail is on its way, if there is somebody to get it.
#[derive(Clone, Debug, Serialize)]
pub struct CodeSent {
    /// The form for the code. Its sealed state holds the ticket.
    pub form: Form,
    /// The address, or what was typed as user name.
    pub to: String,
}

names! {
    /// What the link of a mail confirms, and what that needs here.
    VerifyKind {
        /// A registration, in the browser that asked for it: a button.
        Register = "register",
        /// A registration, in another browser: a new password, and a user name if one is wanted.
        RegisterElsewhere = "register_elsewhere",
        /// A new address of an account that is signed in here: a button.
        Email = "email",
        /// A new address of an account that is not signed in here: sign in first.
        EmailElsewhere = "email_elsewhere",
        /// A new address of another account than the one that is signed in here: nothing.
        EmailOfAnother = "email_of_another",
    }
}

/// The page behind the link of a mail.
#[derive(Clone, Debug, Serialize)]
pub struct Verify {
    /// The form.
    pub form: Form,
    /// What it confirms.
    pub kind: VerifyKind,
    /// The token of the link, sent as `token`.
    pub token: Hidden,
    /// The kind in the link, sent as `kind`.
    pub link_kind: String,
    /// The address, if the reader may know it.
    pub email: Option<String>,
    /// What was typed as user name.
    pub username: String,
}

names! {
    /// What there is to say about an account that was opened.
    OpenedKind {
        /// It has no user name: somebody else has it.
        WithoutName = "without_name",
        /// It is not the one that is signed in here.
        Another = "another",
        /// It is not the one that is signed in here, and has no user name.
        AnotherWithoutName = "another_without_name",
    }
}

/// An account is open.
#[derive(Clone, Debug, Serialize)]
pub struct Opened {
    /// What there is to say about it.
    pub kind: OpenedKind,
    /// Who is signed in here.
    pub signed_in: String,
    /// Where to go on: the application.
    pub continue_to: String,
}

/// A page that is too old.
#[derive(Clone, Debug, Serialize)]
pub struct StartAgain {
    /// Where it begins again, if that is known.
    pub continue_to: Option<String>,
}

/// The page for a forgotten password.
#[derive(Clone, Debug, Serialize)]
pub struct Forgotten {
    /// The form.
    pub form: Form,
    /// What was typed.
    pub username: String,
}

/// The page for a new password.
#[derive(Clone, Debug, Serialize)]
pub struct ResetPassword {
    /// The form.
    pub form: Form,
    /// The token of the link, sent as `token`.
    pub token: Hidden,
}

/// A step of a sign-in.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The form; it posts to `step/{id}`.
    pub form: Form,
    /// The id in the URL.
    pub id: String,
    /// The revision, sent as `revision`.
    pub revision: String,
    /// Who is signing in, as typed.
    pub name: String,
    /// What is needed.
    #[serde(flatten)]
    pub kind: StepKind,
}

/// What a step asks for.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StepKind {
    /// A second factor: the `code` of an app, or a `recovery_code`.
    Mfa {
        /// Whether the user has an app.
        app: bool,
        /// Whether the user has recovery codes left.
        recovery: bool,
        /// What a passkey is asked, if one can be used: `passkey-submit`, which sends `passkey_response`.
        passkey: Option<String>,
        /// Where the user's passkeys work, if they are all of other hosts.
        elsewhere: Vec<String>,
    },
    /// An app to set up: its first `code`.
    Enrol {
        /// The secret in groups, for those who type it.
        secret: ShownOnce,
        /// The URI that apps read.
        uri: ShownOnce,
        /// A picture of the URI, as a `data` URL.
        picture: ShownOnce,
        /// What a new passkey is asked, if one can be made: `passkey-submit`, which sends `passkey_response`.
        passkey: Option<String>,
        /// The only host at which it would work, where the account is used at others as well.
        passkey_host: Option<String>,
    },
    /// Codes to write down: the button sends `action=codes_kept`.
    RecoveryCodes {
        /// The codes.
        codes: Vec<ShownOnce>,
    },
    /// A new password: `new_password`.
    ChoosePassword {
        /// The fewest characters of it.
        min_password: usize,
    },
    /// An address: `email`.
    AskAddress {
        /// What was typed, or the address on record.
        email: String,
    },
    /// The code that was sent to it: `code`, or the button `step-resend`, which sends `action=resend`.
    EnterCode {
        /// The address.
        email: String,
    },
}

/// The question before a sign-out.
#[derive(Clone, Debug, Serialize)]
pub struct LoggingOut {
    /// The form; it posts to `logout`.
    pub form: Form,
    /// Who is signed in.
    pub name: String,
    /// Where to go afterwards, sent as `return_to`.
    pub return_to: Option<String>,
}

/// The page after a sign-out.
#[derive(Clone, Debug, Serialize)]
pub struct SignedOut {
    /// Whether all sessions of the user have ended.
    pub everywhere: bool,
    /// Where to go on, if not to the application's front page.
    pub return_to: Option<String>,
}

/// The front page of the issuer.
#[derive(Clone, Debug, Serialize)]
pub struct Home {
    /// Who is signed in.
    pub name: Option<String>,
    /// The page of things to try, with `--dev`.
    pub dev: Option<String>,
}

/// The page of things to try.
#[derive(Clone, Debug, Serialize)]
pub struct Dev {
    /// A user to sign in as.
    pub user: Option<DevUser>,
    /// Pages to open: each target is a URL.
    pub links: Vec<Try>,
    /// Commands to run: each target is a line for a shell.
    pub commands: Vec<Try>,
}

/// A user of the demo.
#[derive(Clone, Serialize)]
pub struct DevUser {
    /// The login.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for DevUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevUser").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Something to try.
#[derive(Clone, Debug, Serialize)]
pub struct Try {
    /// What it shows.
    pub about: Text,
    /// The URL or the command.
    pub target: String,
}
