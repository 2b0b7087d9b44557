//! What may be wrong with a user, told all at once.

use serde_json::{Map, Value};

use super::{NewUserRequest, UserPatch};
use crate::{
    domain::{
        login::{Login, LoginKind},
        password_policy::PasswordPolicy,
        user::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_EMAILS, is_deeper_than, subject_problem},
    },
    error::{Error, Result, Violation},
};

/// Collects what is wrong.
#[derive(Default)]
pub(in crate::service) struct Wrong(Vec<Violation>);

impl Wrong {
    pub(in crate::service) fn add(&mut self, field: &'static str, description: impl Into<String>) {
        self.0.push(Violation { field: field.into(), description: description.into() });
    }

    pub(in crate::service) fn done(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }

    pub(in crate::service) fn name(&mut self, text: &str) -> Option<Login> {
        match Login::parse(text) {
            Ok(login) if login.kind() == LoginKind::Name => return Some(login),
            Ok(_) => self.add("name", "must not hold an @; an address belongs in email (--email)"),
            Err(problem) => self.add("name", problem.to_string()),
        }
        None
    }

    pub(in crate::service) fn emails(&mut self, texts: &[String]) -> Vec<Login> {
        if texts.len() > MAX_EMAILS {
            self.add("emails", format!("must be at most {MAX_EMAILS}"));
        }
        let mut out = Vec::new();
        for text in texts {
            match Login::parse(text) {
                Ok(login) if login.kind() == LoginKind::Email => out.push(login),
                Ok(_) => self.add("emails", "must be an email address"),
                Err(problem) => self.add("emails", problem.to_string()),
            }
        }
        out
    }

    pub(in crate::service) fn attributes(&mut self, attributes: &Map<String, Value>) {
        if is_deeper_than(MAX_DEPTH, attributes) {
            self.add("attributes", format!("must be nested at most {MAX_DEPTH} levels deep"));
        }
        let text = Value::Object(attributes.clone()).to_string();
        if text.len() > MAX_ATTRIBUTES {
            self.add("attributes", format!("must be at most {MAX_ATTRIBUTES} bytes of JSON"));
        }
        if text.contains("\\u0000") {
            self.add("attributes", "must not hold NUL");
        }
    }
}

/// The logins of a new user, or everything that is wrong with it.
pub(super) fn check_new_user(request: &NewUserRequest) -> Result<Vec<Login>> {
    let (mut wrong, mut logins) = (Wrong::default(), Vec::new());
    if !request.name.is_empty() {
        logins.extend(wrong.name(&request.name));
    } else if request.emails.is_empty() {
        wrong.add("name", "must not be empty without an email address");
    }
    logins.extend(wrong.emails(&request.emails));
    if let Some(problem) = request.subject.as_deref().and_then(subject_problem) {
        wrong.add("subject", problem);
    }
    wrong.attributes(&request.attributes);
    let context: Vec<&str> = std::iter::once(&request.name).chain(&request.emails).map(String::as_str).collect();
    if let Some(Err(problem)) = request.password.as_ref().map(|p| PasswordPolicy::default().check(p, &context)) {
        wrong.add("password", problem.to_string());
    }
    wrong.done().map(|()| logins)
}

/// Everything that is wrong with a change.
pub(super) fn check_patch(patch: &UserPatch) -> Result<()> {
    let mut wrong = Wrong::default();
    if let Some(name) = patch.name.as_deref().filter(|n| !n.is_empty()) {
        wrong.name(name);
    }
    if let Some(emails) = &patch.emails {
        wrong.emails(emails);
    }
    if let Some(attributes) = &patch.attributes {
        wrong.attributes(attributes);
    }
    wrong.done()
}
