//! What the account page shows.

use serde::Serialize;

use super::{Factors, Form, Hidden, names::names};
use crate::time::Timestamp;

names! {
    /// What a form on the account page does; sent as `action`.
    AccountAction {
        /// Change the user name: `username`.
        ChangeName = "change_name",
        /// Ask for another email address: `email current_password` (without a fresh sign-in).
        ChangeEmail = "change_email",
        /// Confirm it: `code`.
        VerifyEmail = "verify_email",
        /// Change the password: `current_password new_password`.
        ChangePassword = "change_password",
        /// Begin to add an authenticator app: `factor_name`.
        AddTotp = "add_totp",
        /// Add it: `code`.
        ConfirmTotp = "confirm_totp",
        /// Begin to add a passkey: `factor_name`.
        AddPasskey = "add_passkey",
        /// Add it: `passkey_response`.
        ConfirmPasskey = "confirm_passkey",
        /// Remove a second factor: `factor_id`.
        RemoveFactor = "remove_factor",
        /// Make new recovery codes: `form`. The old ones stop working.
        NewRecoveryCodes = "new_recovery_codes",
        /// End one session: `session_id`.
        EndSession = "end_session",
        /// End all sessions but this one.
        EndOthers = "end_others",
        /// End all sessions.
        EndAll = "end_all",
        /// Send everything that is kept about the user.
        Download = "download",
        /// Delete the account: `password`.
        Delete = "delete",
    }
}

/// The account page. Its forms post to `account`, with `action` an [`AccountAction`].
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent of each other")]
pub struct Account {
    /// The form token of all its forms, and what was wrong with the one that was sent.
    pub form: Form,
    /// The form that was sent, if what was wrong is of a form.
    pub acted: Option<AccountAction>,
    /// How the user is called.
    pub name: String,
    /// The user name; empty for none.
    pub username: String,
    /// Whether the user may change it here.
    pub username_editable: bool,
    /// The confirmed addresses.
    pub emails: Vec<String>,
    /// What was typed as a new address.
    pub email_typed: String,
    /// A new address that awaits its code.
    pub pending_email: Option<PendingEmail>,
    /// Whether there is a password to change.
    pub has_password: bool,
    /// The fewest characters of a new one.
    pub min_password: usize,
    /// Whether the password must be typed for changes of name and address: the sign-in is not fresh.
    pub password_needed: bool,
    /// The second factors.
    pub factors: Factors,
    /// Whether the account can be changed only after another sign-in, with the second factor.
    pub strict: bool,
    /// Attributes to show.
    pub attributes: Vec<Attribute>,
    /// The sessions, the current one first.
    pub sessions: Vec<Session>,
    /// Whether there are more sessions than shown.
    pub more_sessions: bool,
}

/// A new address that is not confirmed yet.
#[derive(Clone, Debug, Serialize)]
pub struct PendingEmail {
    /// The address.
    pub email: String,
    /// The sealed ticket, sent as `form`.
    pub form: Hidden,
}

/// Something that is kept about a user.
#[derive(Clone, Debug, Serialize)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A session in the list.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// Its id, sent as `session_id`.
    pub id: String,
    /// The name that the device gave itself; may be empty.
    pub label: String,
    /// The browser or program; may be empty.
    pub browser: String,
    /// The operating system; may be empty.
    pub system: String,
    /// The application.
    pub application: String,
    /// The network address at sign-in; may be empty.
    pub address: String,
    /// When it began.
    #[serde(serialize_with = "millis")]
    pub signed_in_at: Timestamp,
    /// When it was used last.
    #[serde(serialize_with = "millis")]
    pub last_used_at: Timestamp,
    /// Whether it is the one that reads the page.
    pub current: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn millis<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(at.millis())
}
