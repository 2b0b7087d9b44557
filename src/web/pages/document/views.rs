//! What the document of each page consists of.

use serde_json::{Value, json};

use super::{Action, account, inputs::Input, parts::Parts};
use crate::web::pages::{
    CodeSent, Field, Form, Hidden, Look, Opened, OpenedKind, Register, ShownOnce, SignIn, SignedOut, StartAgain, Step,
    StepKind, Verify, VerifyKind, View,
    links::{link_to, safe},
};

pub(super) fn of<'a>(view: &'a View, look: &Look<'_>) -> Parts<'a> {
    let link = |page: &str| link(look, page, None);
    match view {
        View::SignIn(page) => sign_in(page, look),
        View::SwitchUser(page) => signing_out(&page.form, look, (&page.name, page.return_to.as_deref()))
            .link("continue", safe(&page.continue_to)),
        View::Register(page) => register(page, look),
        View::RegisterSent(page) => sent(page, look, "verify", [Input::code()]).link("again", link("register")),
        View::Verify(page) => verify(page, look),
        View::Opened(page) => opened(page, look),
        View::Forgotten(page) => {
            let fields = [Input::username().typed(&page.username)];
            Parts::form(&page.form, link("forgot"), fields).link("sign_in", link("login"))
        }
        View::ForgottenSent(page) => {
            let fields = [Input::code(), Input::new_password(Field::NewPassword)];
            sent(page, look, "reset", fields).link("sign_in", link("login"))
        }
        View::ResetPassword(page) => {
            let token = Input::hidden("token", page.token.as_str());
            Parts::form(&page.form, link("reset"), [token, Input::new_password(Field::NewPassword)])
        }
        View::Step(page) => step(page, look),
        View::Account(page) => account::parts(page, look),
        View::RecoveryCodes(page) => Parts { leads_to: Some(page.continue_to.clone()), ..Parts::default() }
            .link("continue", safe(&page.continue_to))
            .about("codes", page.codes.iter().map(ShownOnce::as_str).collect::<Vec<_>>()),
        View::LoggingOut(page) => signing_out(&page.form, look, (&page.name, page.return_to.as_deref()))
            .link("stay", safe(page.return_to.as_deref().unwrap_or(look.home))),
        View::SignedOut(page) => signed_out(page, look),
        View::CookiesBlocked => Parts::default().link("continue", link("login")),
        View::StartAgain(page) => start_again(page, look),
        View::GoOn(page) => Parts { leads_to: Some(page.continue_to.clone()), ..Parts::default() }
            .link("continue", safe(&page.continue_to)),
        View::Error(_) | View::Home(_) | View::Dev(_) => Parts::default(),
    }
}

/// A page in the same flow.
fn link(look: &Look<'_>, page: &str, waiting: Option<&str>) -> String {
    link_to(look.prefix, (look.flow, look.ui_locales), page, waiting)
}

fn sign_in<'a>(page: &'a SignIn, look: &Look<'_>) -> Parts<'a> {
    let link = |page: &str| link(look, page, None);
    let username = if page.passkey.is_some() { Input::username_or_passkey() } else { Input::username() };
    let username = username.typed(&page.username);
    let shared = Input::checkbox("shared_computer", page.shared_computer);
    let fields = [username, Input::password(Field::Password), shared];
    let parts = Parts::form(&page.form, link("login"), fields).link("forgotten", link("forgot"));
    let sealed = page.form.form.as_ref().map(|sealed| Input::hidden("form", sealed.as_str()));
    let parts = with_passkey(parts, page.passkey.as_deref(), sealed);
    if look.registration { parts.link("register", link("register")) } else { parts }
}

/// The same page where a passkey can be used or made. What it is asked is an object: programs need not read JSON in JSON.
fn with_passkey<'a>(mut parts: Parts<'a>, options: Option<&str>, hidden: impl IntoIterator<Item = Input>) -> Parts<'a> {
    let Some(options) = options else { return parts };
    let fields = hidden.into_iter().chain([Input::chosen("passkey_response")]).collect();
    parts.actions.push(Action { name: "passkey", fields });
    let options: Value = serde_json::from_str(options).unwrap_or_default();
    parts.about("passkey_options", options)
}

fn register<'a>(page: &'a Register, look: &Look<'_>) -> Parts<'a> {
    let link = |page: &str| link(look, page, None);
    let username = Input::username().typed(&page.username).optional();
    let fields = [Input::email().typed(&page.email), username, Input::new_password(Field::Password)];
    Parts::form(&page.form, link("register"), fields).link("sign_in", link("login"))
}

/// A form that signs a user out, who goes on to a path.
fn signing_out<'a>(form: &'a Form, look: &Look<'_>, (name, return_to): (&str, Option<&str>)) -> Parts<'a> {
    let path = return_to.map(|path| Input::hidden("return_to", path));
    Parts::form(form, link_to(look.prefix, (look.flow, look.ui_locales), "logout", None), path).about("name", name)
}

fn start_again<'a>(page: &StartAgain, look: &Look<'_>) -> Parts<'a> {
    match &page.continue_to {
        Some(path) => Parts::default().link("continue", safe(path)).link("home", safe(look.home)),
        None => Parts::default().link("continue", safe(look.home)),
    }
}

/// A page that waits for a code, at the address that shows it again.
fn sent<'a>(page: &'a CodeSent, look: &Look<'_>, to: &str, fields: impl IntoIterator<Item = Input>) -> Parts<'a> {
    let waiting = page.form.form.as_ref().map(Hidden::as_str);
    Parts::form(&page.form, link(look, to, waiting), fields).about("to", page.to.as_str())
}

fn verify<'a>(page: &'a Verify, look: &Look<'_>) -> Parts<'a> {
    let link = |page: &str| link(look, page, None);
    let parts = match page.kind {
        VerifyKind::EmailOfAnother => Parts { form: Some(&page.form), ..Parts::default() }
            .link("sign_out", format!("{}/logout", look.prefix))
            .link("account", format!("{}/account", look.prefix)),
        VerifyKind::EmailElsewhere => {
            Parts { form: Some(&page.form), ..Parts::default() }.link("sign_in", link("login"))
        }
        VerifyKind::Register | VerifyKind::RegisterElsewhere | VerifyKind::Email => {
            let mut fields =
                vec![Input::hidden("kind", page.link_kind.as_str()), Input::hidden("token", page.token.as_str())];
            if page.kind == VerifyKind::RegisterElsewhere {
                let username = Input::username().typed(&page.username).optional();
                fields.extend([username, Input::new_password(Field::NewPassword)]);
            }
            Parts::form(&page.form, link("verify"), fields)
        }
    };
    let parts = parts.about("kind", page.kind.as_str());
    match &page.email {
        Some(email) => parts.about("email", email.as_str()),
        None => parts,
    }
}

fn opened<'a>(page: &'a Opened, look: &Look<'_>) -> Parts<'a> {
    let parts = Parts::default().link("continue", safe(&page.continue_to));
    let parts = match page.kind {
        OpenedKind::WithoutName => parts.link("account", format!("{}/account", look.prefix)),
        OpenedKind::Another | OpenedKind::AnotherWithoutName => {
            parts.link("sign_out", format!("{}/logout", look.prefix))
        }
    };
    parts.about("kind", page.kind.as_str()).about("name", page.signed_in.as_str())
}

fn step<'a>(page: &'a Step, look: &Look<'_>) -> Parts<'a> {
    let url = link(look, &format!("step/{}", page.id), None);
    let revision = || Input::hidden("revision", page.revision.as_str());
    let action = |name| Action { name, fields: vec![revision(), Input::hidden("action", name)] };
    let parts = |field| Parts::form(&page.form, url.clone(), [revision(), field]);
    let parts = match &page.kind {
        StepKind::Mfa { app: false, recovery: false, passkey: None, elsewhere } => {
            let parts = Parts { form: Some(&page.form), ..Parts::default() };
            parts.link("home", safe(look.home)).about("passkey_hosts", json!(elsewhere))
        }
        StepKind::Mfa { app, recovery, passkey, elsewhere } => {
            let recover = Action { name: "recover", fields: vec![revision(), Input::recovery_code()] };
            let actions = recovery.then_some(recover).into_iter().collect();
            // Without an app there is only what the actions send.
            let fields = app.then(|| [revision(), Input::code()]).into_iter().flatten();
            let parts = Parts { actions, ..Parts::form(&page.form, url.clone(), fields) };
            with_passkey(parts, passkey.as_deref(), [revision()]).about("passkey_hosts", json!(elsewhere))
        }
        StepKind::Enrol { secret, uri, picture, passkey, passkey_host } => {
            let parts = parts(Input::code())
                .link("open_app", safe(uri.as_str()))
                .about("secret", secret.as_str())
                .about("uri", uri.as_str())
                .about("picture", picture.as_str())
                .about("passkey_host", json!(passkey_host));
            with_passkey(parts, passkey.as_deref(), [revision()])
        }
        StepKind::RecoveryCodes { codes } => {
            let codes: Vec<&str> = codes.iter().map(ShownOnce::as_str).collect();
            parts(Input::hidden("action", "codes_kept")).about("codes", json!(codes))
        }
        StepKind::ChoosePassword { .. } => parts(Input::new_password(Field::NewPassword)),
        StepKind::AskAddress { email } => parts(Input::email().typed(email)),
        StepKind::EnterCode { email } => {
            let actions = vec![action("resend"), action("other_address")];
            Parts { actions, ..parts(Input::code()) }.about("email", email.as_str())
        }
    };
    parts.about("name", page.name.as_str())
}

fn signed_out<'a>(page: &SignedOut, look: &Look<'_>) -> Parts<'a> {
    let path = page.return_to.as_deref().unwrap_or(look.home);
    let parts = Parts::default().link("continue", safe(path)).link("sign_in", format!("{}/login", look.prefix));
    Parts { leads_to: Some(path.to_owned()), ..parts }.about("everywhere", json!(page.everywhere))
}
