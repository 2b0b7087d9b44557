//! Validation of users; reports all violations at once.

use super::{NewUserRequest, UserPatch};
use crate::{
    domain::{
        login::Login,
        mail::Language,
        password_policy::PasswordPolicy,
        user::{check_attributes, read_emails, read_language, subject_problem},
    },
    error::{Result, Violations},
};

/// Validates a new user; returns its logins and its language, or all violations.
///
/// # Errors
/// Reports every invalid field at once.
pub fn check_new_user(request: &NewUserRequest) -> Result<(Vec<Login>, Option<Language>)> {
    let (mut violations, mut logins) = (Violations::default(), Vec::new());
    if !request.name.is_empty() {
        logins.extend(violations.take("name", Login::parse_name(&request.name)));
    } else if request.emails.is_empty() {
        violations.add("name", "must not be empty without an email address");
    }
    logins.extend(read_emails(&mut violations, &request.emails));
    if let Some(problem) = request.subject.as_deref().and_then(subject_problem) {
        violations.add("subject", problem);
    }
    check_attributes(&mut violations, &request.attributes);
    let context: Vec<&str> = std::iter::once(&request.name).chain(&request.emails).map(String::as_str).collect();
    if let Some(Err(problem)) = request.password.as_ref().map(|p| PasswordPolicy::default().check(p, &context)) {
        violations.add("password", problem.to_string());
    }
    let language = read_language(&mut violations, &request.language);
    violations.into_result((logins, language))
}

/// Validates a change; returns the new language, or all violations.
pub(super) fn check_patch(patch: &UserPatch) -> Result<Option<Language>> {
    let mut violations = Violations::default();
    if let Some(name) = patch.name.as_deref().filter(|n| !n.is_empty()) {
        violations.take("name", Login::parse_name(name));
    }
    if let Some(emails) = &patch.emails {
        read_emails(&mut violations, emails);
    }
    if let Some(attributes) = &patch.attributes {
        check_attributes(&mut violations, attributes);
    }
    let language = read_language(&mut violations, patch.language.as_deref().unwrap_or_default());
    violations.into_result(language)
}
