//! The account page in JSON: each of its forms is an action.

use serde_json::{Map, Value, json};

use super::{Action, inputs::Input, parts::Parts};
use crate::web::pages::{
    Account, AccountAction, Factor, Factors, Field, Look, NewPasskey, NewTotp, Session,
    links::{link_to, safe},
};

pub(super) fn parts<'a>(page: &'a Account, look: &Look<'_>) -> Parts<'a> {
    let waiting = page.pending_email.as_ref().map(|pending| pending.form.as_str());
    let url = link_to(look.prefix, (None, None), "account", waiting);
    let parts = Parts { actions: actions(page), ..Parts::form(&page.form, url, []) };
    let attributes: Map<String, Value> =
        page.attributes.iter().map(|one| (one.name.clone(), one.value.as_str().into())).collect();
    let parts = about_factors(&page.factors, parts);
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
        AddPasskey, AddTotp, ChangeEmail, ChangeName, ChangePassword, ConfirmPasskey, ConfirmTotp, Delete, Download,
        EndAll, EndOthers, EndSession, NewRecoveryCodes, RemoveFactor, VerifyEmail,
    };
    let password = || page.password_needed.then(|| Input::password(Field::CurrentPassword));
    let mut out = Vec::new();
    let mut add = |action: AccountAction, fields: Vec<Input>| {
        let action = action.as_str();
        let fields = std::iter::once(Input::hidden("action", action)).chain(fields).collect();
        out.push(Action { name: action, fields });
    };
    if page.username_editable && !page.strict {
        let username = Input::username().typed(&page.username).optional();
        add(ChangeName, std::iter::once(username).chain(password()).collect());
    }
    if let Some(pending) = &page.pending_email {
        add(VerifyEmail, vec![Input::hidden("form", pending.form.as_str()), Input::code()]);
    }
    let email = Input::email().typed(&page.email_typed);
    if !page.strict {
        add(ChangeEmail, std::iter::once(email).chain(password()).collect());
    }
    if page.has_password && !page.strict {
        let passwords = [Input::password(Field::CurrentPassword), Input::new_password(Field::NewPassword)];
        add(ChangePassword, passwords.into());
    }
    let factors = &page.factors;
    let changeable = factors.sign_in_again.is_none();
    if changeable && !factors.list.is_empty() {
        let password = factors.password_needed.then(|| Input::password(Field::Password));
        add(RemoveFactor, std::iter::once(Input::chosen("factor_id")).chain(password).collect());
    }
    if let Some(NewTotp { form, .. }) = &factors.totp {
        add(ConfirmTotp, vec![Input::hidden("form", form.as_str()), Input::code()]);
    } else if changeable {
        add(AddTotp, vec![Input::factor_name().typed(&factors.name_typed).optional()]);
    }
    if let Some(passkey) = &factors.passkey {
        let fields = vec![Input::hidden("form", passkey.form.as_str()), Input::chosen("passkey_response")];
        add(ConfirmPasskey, fields);
    } else if changeable && factors.passkeys {
        add(AddPasskey, vec![Input::factor_name().optional()]);
    }
    if changeable && factors.recovery_codes.is_some() {
        add(NewRecoveryCodes, vec![Input::hidden("form", factors.codes_form.as_str())]);
    }
    if page.sessions.iter().any(|session| !session.current) {
        add(EndSession, vec![Input::chosen("session_id")]);
    }
    for action in [EndOthers, EndAll, Download] {
        add(action, Vec::new());
    }
    if page.strict {
        return out;
    }
    add(Delete, page.has_password.then(|| Input::password(Field::Password)).into_iter().collect());
    out
}

/// The second factors, with the names of the API.
fn about_factors<'a>(factors: &Factors, parts: Parts<'a>) -> Parts<'a> {
    let parts = match &factors.sign_in_again {
        Some(path) => parts.link("sign_in_again", path.as_str()),
        None => parts,
    };
    let options = |new: &NewPasskey| serde_json::from_str(&new.options).unwrap_or_default();
    let passkey: Value = factors.passkey.as_ref().map_or(Value::Null, options);
    let totp = factors.totp.as_ref().map_or(
        Value::Null,
        |totp| json!({ "secret": totp.secret.as_str(), "uri": totp.uri.as_str(), "picture": totp.picture.as_str() }),
    );
    let parts = match &factors.totp {
        Some(totp) => parts.link("open_app", safe(totp.uri.as_str())),
        None => parts,
    };
    parts
        .about("factors", factors.list.iter().map(factor).collect::<Vec<_>>())
        .about("recovery_codes_left", factors.recovery_codes.map_or(Value::Null, Value::from))
        .about("totp", totp)
        .about("passkey_options", passkey)
        .about("passkey_host", json!(factors.passkey_host))
}

fn factor(factor: &Factor) -> Value {
    json!({
        "factor_id": factor.id,
        "kind": factor.kind.as_str(),
        "name": factor.name,
        "create_time": factor.added_at.to_string(),
        "last_use_time": factor.last_used_at.map(|at| at.to_string()),
    })
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
