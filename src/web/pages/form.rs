//! Forms, what was wrong with them, and notices.

use std::fmt;

use serde::Serialize;

use super::{Text, names::names};
use crate::error::Violation;

/// A value that a page sends back unread: a form token, a sealed form, the token of a link.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, as it is sent back.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// A secret that a page shows once.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ShownOnce(String);

impl ShownOnce {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, as it is shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ShownOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShownOnce(…)")
    }
}

/// What every form has.
#[derive(Clone, Debug, Serialize)]
pub struct Form {
    /// The form token, sent as `csrf`.
    pub csrf: Hidden,
    /// Sealed state of this form, sent as `form`.
    pub form: Option<Hidden>,
    /// What was wrong with it when it was sent.
    pub errors: Vec<FieldError>,
}

impl Form {
    /// A form that has not been sent yet.
    #[must_use]
    pub fn new(csrf: impl Into<String>) -> Self {
        Self { csrf: Hidden::new(csrf), form: None, errors: Vec::new() }
    }

    /// The same form with sealed state.
    #[must_use]
    pub fn sealed(mut self, form: impl Into<String>) -> Self {
        self.form = Some(Hidden::new(form));
        self
    }

    /// The same form with a problem of one field, or of the whole.
    #[must_use]
    pub fn wrong(mut self, field: impl Into<Option<Field>>, text: Text) -> Self {
        self.errors.push(FieldError { field: field.into(), text });
        self
    }
}

/// What is wrong with a field, or with the form as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field, if it is one.
    pub field: Option<Field>,
    /// The problem.
    pub text: Text,
}

names! {
    /// A field that people fill.
    Field {
        /// A user name or an email address.
        Username = "username",
        /// A password that exists, or the first one of an account.
        Password = "password",
        /// An email address.
        Email = "email",
        /// A code from a mail.
        Code = "code",
        /// What a second factor is called.
        FactorName = "factor_name",
        /// A recovery code.
        RecoveryCode = "recovery_code",
        /// A new password.
        NewPassword = "new_password",
        /// The password so far.
        CurrentPassword = "current_password",
    }
}

names! {
    /// How a notice looks.
    Tone {
        /// Something was done.
        Done = "done",
        /// Something to know.
        Info = "info",
        /// Something to mind.
        Warning = "warning",
    }
}

/// Something to say above a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// How it looks.
    pub tone: Tone,
    /// What it says.
    pub text: Text,
}

impl Notice {
    /// A notice.
    #[must_use]
    pub const fn new(tone: Tone, text: Text) -> Self {
        Self { tone, text }
    }
}

/// What is wrong with the fields of a form. `field_of` gives the form's field for a field of the API.
#[must_use]
pub fn violations(violations: &[Violation], field_of: impl Fn(&str) -> Option<Field>) -> Vec<FieldError> {
    let one = |wrong: &Violation| FieldError {
        field: field_of(&wrong.field),
        text: Text::of_description(&wrong.description),
    };
    violations.iter().map(one).collect()
}
