//! What may be wrong with a user, told all at once.

use super::{NewUserRequest, UserPatch};
use crate::{
    domain::{login::Login, password_policy::PasswordPolicy, user::subject_problem},
    error::Result,
    service::admin::violations::Violations,
};

/// The logins of a new user, or everything that is wrong with it.
pub(super) fn check_new_user(request: &NewUserRequest) -> Result<Vec<Login>> {
    let (mut wrong, mut logins) = (Violations::default(), Vec::new());
    if !request.name.is_empty() {
        logins.extend(wrong.user_name(&request.name));
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
    wrong.into_result(logins)
}

/// Everything that is wrong with a change.
pub(super) fn check_patch(patch: &UserPatch) -> Result<()> {
    let mut wrong = Violations::default();
    if let Some(name) = patch.name.as_deref().filter(|n| !n.is_empty()) {
        wrong.user_name(name);
    }
    if let Some(emails) = &patch.emails {
        wrong.emails(emails);
    }
    if let Some(attributes) = &patch.attributes {
        wrong.attributes(attributes);
    }
    wrong.into_result(())
}
