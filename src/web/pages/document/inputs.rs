//! Fields, as the templates have them.

use serde::Serialize;
use serde_json::Value;

use crate::web::pages::Field;

/// A field of a form.
#[derive(Serialize)]
pub(super) struct Input {
    name: &'static str,
    /// What it takes, as the `type` of an HTML input. What is `hidden` is sent back as it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The token of HTML for what browsers and password managers fill in.
    autocomplete: &'static str,
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

impl Input {
    const fn new(name: &'static str, kind: &'static str, autocomplete: &'static str) -> Self {
        Self { name, kind, autocomplete, required: true, value: None }
    }

    pub(super) fn hidden(name: &'static str, value: impl Into<String>) -> Self {
        Self { value: Some(Value::String(value.into())), ..Self::new(name, "hidden", "off") }
    }

    /// A hidden field whose value is chosen from a list in the document.
    pub(super) const fn chosen(name: &'static str) -> Self {
        Self::new(name, "hidden", "off")
    }

    pub(super) const fn username() -> Self {
        Self::new(Field::Username.as_str(), "text", "username")
    }

    /// A user name where browsers may offer a passkey as well.
    pub(super) const fn username_or_passkey() -> Self {
        Self::new(Field::Username.as_str(), "text", "username webauthn")
    }

    pub(super) const fn email() -> Self {
        Self::new(Field::Email.as_str(), "email", "email")
    }

    pub(super) const fn factor_name() -> Self {
        Self::new(Field::FactorName.as_str(), "text", "off")
    }

    pub(super) const fn code() -> Self {
        Self::new(Field::Code.as_str(), "text", "one-time-code")
    }

    /// A recovery code.
    pub(super) const fn recovery_code() -> Self {
        Self::new(Field::RecoveryCode.as_str(), "text", "off")
    }

    /// A password that exists.
    pub(super) const fn password(field: Field) -> Self {
        Self::new(field.as_str(), "password", "current-password")
    }

    /// A password to choose.
    pub(super) const fn new_password(field: Field) -> Self {
        Self::new(field.as_str(), "password", "new-password")
    }

    pub(super) fn checkbox(name: &'static str, ticked: bool) -> Self {
        let value = Some(Value::Bool(ticked));
        Self { required: false, value, ..Self::new(name, "checkbox", "off") }
    }

    /// The same field with what was typed.
    pub(super) fn typed(self, text: &str) -> Self {
        Self { value: Some(text).filter(|text| !text.is_empty()).map(Value::from), ..self }
    }

    /// The same field, which may be left empty.
    pub(super) fn optional(self) -> Self {
        Self { required: false, ..self }
    }
}
