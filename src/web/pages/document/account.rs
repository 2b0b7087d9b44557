//! The account page in JSON: each of its forms is an action.

use serde_json::{Map, Value, json};

use super::{Action, inputs::Input, parts::Parts};
use crate::web::pages::{Account, AccountAction, Field, Look, Session, links::link_to};

pub(super) fn parts<'a>(page: &'a Account, look: &Look<'_>) -> Parts<'a> {
    let waiting = page.pending_email.as_ref().map(|pending| pending.form.as_str());
    let url = link_to(look.prefix, (None, None), "account", waiting);
    let parts = Parts { actions: actions(page), ..Parts::form(&page.form, url, []) };
    let attributes: Map<String, Value> =
        page.attributes.iter().map(|one| (one.name.clone(), one.value.as_str().into())).collect();
    parts
        .link("sign_out", format!("{}/logout", look.prefix))
        .about("name", page.name.as_str())
        .about("username", page.username.as_str())
        .about("email", page.emails.first().map_or(Value::Null, |email| email.as_str().into()))
        .about("emails", json!(page.emails))
        .about("pending_email", page.pending_email.as_ref().map_or(Value::Null, |one| one.email.as_str().into()))
        .about("attributes", attributes)
        .about("sessions", page.sessions.iter().map(session).collect::<Vec<_>>())
        .about("more_sessions", page.more_sessions)
        .about("acted", page.acted.map_or(Value::Null, |acted| acted.as_str().into()))
}

/// The forms, in the order of the page.
fn actions(page: &Account) -> Vec<Action> {
    use AccountAction::{
        ChangeEmail, ChangeName, ChangePassword, Delete, Download, EndAll, EndOthers, EndSession, VerifyEmail,
    };
    let password = || page.password_needed.then(|| Input::password(Field::CurrentPassword));
    let mut out = Vec::new();
    let mut add = |action: AccountAction, fields: Vec<Input>| {
        let action = action.as_str();
        let fields = std::iter::once(Input::hidden("action", action)).chain(fields).collect();
        out.push(Action { name: action, fields });
    };
    if page.username_editable {
        let username = Input::username().typed(&page.username).optional();
        add(ChangeName, std::iter::once(username).chain(password()).collect());
    }
    if let Some(pending) = &page.pending_email {
        add(VerifyEmail, vec![Input::hidden("form", pending.form.as_str()), Input::code()]);
    }
    let email = Input::email().typed(&page.email_typed);
    add(ChangeEmail, std::iter::once(email).chain(password()).collect());
    if page.has_password {
        let passwords = [Input::password(Field::CurrentPassword), Input::new_password(Field::NewPassword)];
        add(ChangePassword, passwords.into());
    }
    if page.sessions.iter().any(|session| !session.current) {
        add(EndSession, vec![Input::chosen("session_id")]);
    }
    for action in [EndOthers, EndAll, Download] {
        add(action, Vec::new());
    }
    add(Delete, page.has_password.then(|| Input::password(Field::Password)).into_iter().collect());
    out
}

/// A session, with the names of the API.
fn session(session: &Session) -> Value {
    json!({
        "session_id": session.id,
        "device_label": session.label,
        "browser": session.browser,
        "system": session.system,
        "application": session.application,
        "address": session.address,
        "create_time": session.signed_in_at.to_string(),
        "last_use_time": session.last_used_at.to_string(),
        "current": session.current,
    })
}
